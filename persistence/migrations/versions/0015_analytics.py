"""Analytics: the decisions of routing by project, and the phases of issues by day."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index(
        "routing_observations_project_idx",
        "routing_observations",
        ["org_id", "project_id", "observed_at", "id"],
        unique=False,
    )
    op.create_index("sessions_issue_idx", "sessions", ["org_id", "project_id", "issue_id"], unique=False)
    op.create_table(
        "phase_changes",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("issue_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("phase_changes_pkey")),
    )
    op.create_table(
        "issue_phases",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("issue_id", sa.Text(), nullable=False),
        sa.Column("counted", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "project_id", "issue_id", name=op.f("issue_phases_pkey")),
    )
    op.create_table(
        "phase_counts",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("issues", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("cycle_ms", sa.Numeric(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "day", "project_id", "kind", name=op.f("phase_counts_pkey")),
    )
    op.execute((Path(__file__).parent.parent / "phase_counts_0015.sql").read_text())
