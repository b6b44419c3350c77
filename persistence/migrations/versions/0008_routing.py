"""Routing: what is learned of providers, what was chosen, and what a project insists on."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("projects", sa.Column("provider", sa.Text(), nullable=True))
    op.create_table(
        "routing_arms",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("work_type", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("alpha", sa.Double(), server_default="1", nullable=False),
        sa.Column("beta", sa.Double(), server_default="1", nullable=False),
        sa.Column("recent_reward", sa.Double(), server_default="0", nullable=False),
        sa.Column("recent_weight", sa.Double(), server_default="0", nullable=False),
        sa.Column("observations", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_usd", sa.Double(), server_default="0", nullable=False),
        sa.Column("costs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("learned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("routing_arms_project_id_fkey")),
        sa.PrimaryKeyConstraint("org_id", "project_id", "work_type", "provider", name=op.f("routing_arms_pkey")),
    )
    op.create_table(
        "routing_observations",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("lease_epoch", sa.Integer(), nullable=False),
        sa.Column("work_type", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reward", sa.Double(), nullable=False),
        sa.Column("issue_identifier", sa.Text(), nullable=True),
        sa.Column("task_completed", sa.Boolean(), nullable=True),
        sa.Column("pr_created", sa.Boolean(), nullable=True),
        sa.Column("qa_result", sa.Text(), nullable=True),
        sa.Column("total_cost_usd", sa.Double(), nullable=True),
        sa.Column("wall_clock_ms", sa.BigInteger(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("exploration_reason", sa.Text(), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"], name=op.f("routing_observations_org_id_session_id_fkey")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("routing_observations_project_id_fkey")),
        sa.PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", "work_type", "provider", name=op.f("routing_observations_pkey")),
    )
    op.create_index("routing_observations_page_idx", "routing_observations", ["org_id", "observed_at", "id"], unique=False)
    op.create_table(
        "routing_choices",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("lease_epoch", sa.Integer(), nullable=False),
        sa.Column("work_type", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("expected_reward", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("exploration_reason", sa.Text(), nullable=True),
        sa.Column("chosen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"], name=op.f("routing_choices_org_id_session_id_fkey")),
        sa.PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", name=op.f("routing_choices_pkey")),
    )
