"""An issue is held, and waited for, within its project."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

HOLDER = "sessions_issue_holder_idx"
PARKED = "sessions_parked_idx"


def upgrade() -> None:
    op.drop_index(HOLDER, "sessions")
    op.create_index(
        HOLDER,
        "sessions",
        ["org_id", "project_id", "issue_id"],
        unique=True,
        postgresql_where=sa.text("holds_issue"),
    )
    op.drop_index(PARKED, "sessions")
    op.create_index(
        PARKED,
        "sessions",
        ["org_id", "project_id", "issue_id", "priority", "queued_at"],
        postgresql_where=sa.text("waits_for = 'issue'"),
    )
