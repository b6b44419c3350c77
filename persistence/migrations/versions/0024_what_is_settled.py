"""What is settled goes in time: what finds it, and how the jobs remove browser sessions."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_index(
        "webhook_events_settled_idx",
        "webhook_events",
        ["status", "done_at"],
        postgresql_where=sa.text("done_at is not null"),
    )
    op.create_index(
        "outbox_settled_idx",
        "outbox",
        ["status", "next_try_at"],
        postgresql_where=sa.text("status in ('sent', 'dead')"),
    )
    op.create_index("session_nacks_age_idx", "session_nacks", ["nacked_at"])
    op.create_index("browser_sessions_end_idx", "browser_sessions", ["expires_at"])
    op.add_column("sessions", sa.Column("activities_pruned_at", sa.DateTime(timezone=True)))
    op.create_index(
        "sessions_activities_idx",
        "sessions",
        ["finished_at"],
        postgresql_where=sa.text(
            "finished_at is not null"
            " and (activities_pruned_at is null or activities_pruned_at < finished_at)"
        ),
    )
    op.execute((Path(__file__).parents[1] / "prune_0024.sql").read_text())
