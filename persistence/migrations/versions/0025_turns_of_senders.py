"""Senders of webhooks take turns."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column(
        "webhook_events", sa.Column("sender", sa.Text(), server_default="", nullable=False)
    )
    op.drop_index("webhook_events_waiting_idx", table_name="webhook_events")
    op.create_index(
        "webhook_events_turn_idx",
        "webhook_events",
        ["sender", "position"],
        postgresql_where=sa.text("status in ('received', 'failed')"),
    )
