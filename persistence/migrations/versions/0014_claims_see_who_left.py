"""A poll that waited for its worker's row claims nothing for a worker that left meanwhile."""

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "claim_sessions_0014.sql").read_text())
