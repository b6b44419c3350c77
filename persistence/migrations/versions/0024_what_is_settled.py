"""What is settled goes in time: the indexes that find it, and how the jobs end browser sessions."""

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
    op.execute((Path(__file__).parents[1] / "prune_0024.sql").read_text())
