"""Analytics: the decisions of routing by project."""

from alembic import op

revision = "0016"
down_revision = "0013"


def upgrade() -> None:
    op.create_index(
        "routing_observations_project_idx",
        "routing_observations",
        ["org_id", "project_id", "observed_at", "id"],
        unique=False,
    )
