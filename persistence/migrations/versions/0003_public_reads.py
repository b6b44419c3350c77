"""Public reads: links by hash, the counts behind the statistics, what is live by index."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "organizations",
        sa.Column(
            "session_hash_links", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.create_index(
        "organizations_hash_links_idx",
        "organizations",
        ["id"],
        unique=False,
        postgresql_where=sa.text("session_hash_links"),
    )
    op.add_column(
        "workers",
        sa.Column(
            "seen_on",
            sa.Date(),
            sa.Computed("((last_heartbeat_at AT TIME ZONE 'utc'))::date", persisted=True),
            nullable=False,
        ),
    )
    op.create_index("workers_seen_idx", "workers", ["org_id", "seen_on"], unique=False)
    op.create_index(
        "sessions_working_idx",
        "sessions",
        ["org_id", "project_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('claimed', 'running')"),
    )
    op.create_table(
        "session_counts",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "day", "project_id", name=op.f("session_counts_pkey")),
    )
    op.create_table(
        "session_count_changes",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("session_count_changes_pkey")),
    )
    op.execute((Path(__file__).parent.parent / "session_counts_0003.sql").read_text())
