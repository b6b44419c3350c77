"""The outbox: what the tracker is to be told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    op.create_table('outbox',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('status', sa.Text(), server_default='waiting', nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('next_try_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('outbox_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('outbox_pkey'))
    )
    op.create_index('outbox_order_idx', 'outbox', ['org_id', 'session_id', 'id'], unique=False, postgresql_where=sa.text("status in ('waiting', 'sending')"))
    op.create_index('outbox_due_idx', 'outbox', ['next_try_at', 'id'], unique=False, postgresql_where=sa.text("status in ('waiting', 'sending')"))
