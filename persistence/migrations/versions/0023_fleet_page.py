"""What the fleet page looks up: what has ended lately, what waits for a person, what went wrong."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_index(
        "sessions_finished_idx",
        "sessions",
        ["org_id", "finished_at"],
        postgresql_where=sa.text("finished_at is not null"),
    )
    op.create_index(
        "sessions_person_idx",
        "sessions",
        ["org_id", "queued_at"],
        postgresql_where=sa.text("waits_for = 'person'"),
    )
    op.create_index(
        "sessions_finalizing_idx",
        "sessions",
        ["org_id", "claimed_at"],
        postgresql_where=sa.text("status = 'finalizing'"),
    )
    op.create_index(
        "webhook_events_org_trouble_idx",
        "webhook_events",
        ["org_id", "received_at", "id"],
        postgresql_where=sa.text("status not in ('received', 'done')"),
    )
