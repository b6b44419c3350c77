"""Files: what a session has reserved, and when it is free again."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    op.create_table('file_reservations',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('file_key', sa.LargeBinary(), nullable=False),
    sa.Column('repository', sa.Text(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('reserved_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('file_reservations_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'file_key', name=op.f('file_reservations_pkey'))
    )
    op.create_index('file_reservations_session_idx', 'file_reservations', ['org_id', 'session_id'], unique=False)
    op.execute((Path(__file__).parent.parent / "file_reservations_0005.sql").read_text())
