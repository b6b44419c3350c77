"""What agents remember, and which sessions they submit."""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'


def upgrade() -> None:
    op.add_column('sessions', sa.Column('submitted_by', sa.Text(), nullable=True))
    op.add_column('sessions', sa.Column('submission_depth', sa.Integer(), server_default='0', nullable=False))
    op.create_index('sessions_submitted_idx', 'sessions', ['org_id', 'submitted_by'], unique=False, postgresql_where=sa.text('submitted_by IS NOT NULL'))
