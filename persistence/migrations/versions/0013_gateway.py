"""Webhook events in lines, with attempts that people can see and try again."""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'

WAITING = sa.text("status in ('received', 'failed')")


def upgrade() -> None:
    op.add_column('webhook_events', sa.Column('type', sa.Text(), server_default='', nullable=False))
    op.add_column('webhook_events', sa.Column('line', sa.Text(), server_default='', nullable=False))
    op.add_column(
        'webhook_events',
        sa.Column('position', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    )
    op.drop_index('webhook_events_waiting_idx', table_name='webhook_events')
    op.create_index('webhook_events_waiting_idx', 'webhook_events', ['position'], unique=False, postgresql_where=WAITING)
    op.create_index('webhook_events_line_idx', 'webhook_events', ['provider', 'verified_by', 'line', 'position'], unique=False, postgresql_where=WAITING)
    op.create_index('webhook_events_page_idx', 'webhook_events', ['org_id', 'received_at', 'id'], unique=False)
    op.create_index('webhook_events_all_idx', 'webhook_events', ['received_at', 'id'], unique=False)
    op.create_index('webhook_events_trouble_idx', 'webhook_events', ['received_at', 'id'], unique=False, postgresql_where=sa.text("status not in ('received', 'done')"))
