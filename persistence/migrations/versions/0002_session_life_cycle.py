"""The session life cycle: inboxes, nacks, locks, prompts."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_table('inbox_messages',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('ms', sa.BigInteger(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('lane', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=True),
    sa.Column('user_name', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('offers', sa.Integer(), server_default='0', nullable=False),
    sa.Column('offered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('acknowledged_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('inbox_messages_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'ms', 'seq', name=op.f('inbox_messages_pkey'))
    )
    op.create_index('inbox_messages_waiting_idx', 'inbox_messages', ['org_id', 'session_id'], unique=False, postgresql_where=sa.text('acknowledged_at IS NULL'))
    op.create_table('prompts',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('idempotency_key', sa.Text(), nullable=True),
    sa.Column('prompt_hash', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('prompts_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'id', name=op.f('prompts_pkey'))
    )
    op.create_index('prompts_idempotency_idx', 'prompts', ['org_id', 'session_id', 'idempotency_key'], unique=True, postgresql_where=sa.text('idempotency_key IS NOT NULL'))
    op.create_table('security_scans',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('scanned_at', sa.Text(), nullable=False),
    sa.Column('event', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('stored_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('security_scans_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'scanned_at', name=op.f('security_scans_pkey'))
    )
    op.create_table('session_nacks',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('worker_id', sa.Text(), nullable=False),
    sa.Column('nacked_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('session_nacks_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'worker_id', name=op.f('session_nacks_pkey'))
    )
    op.create_table('tool_errors',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('lease_epoch', sa.Integer(), nullable=False),
    sa.Column('body_hash', sa.LargeBinary(), nullable=False),
    sa.Column('tool_name', sa.Text(), nullable=False),
    sa.Column('error_message', sa.Text(), nullable=False),
    sa.Column('context', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False),
    sa.Column('stored_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('tool_errors_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'lease_epoch', 'body_hash', name=op.f('tool_errors_pkey'))
    )
    op.add_column('sessions', sa.Column('waits_for', sa.Text(), nullable=True))
    op.add_column('sessions', sa.Column('holds_issue', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('sessions', sa.Column('nacks', sa.Integer(), server_default='0', nullable=False))
    op.add_column('sessions', sa.Column('offered_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('sessions', sa.Column('confirmed', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('sessions', sa.Column('last_tool_name', sa.Text(), nullable=True))
    op.add_column('sessions', sa.Column('last_tool_called_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('sessions', sa.Column('tool_call_count', sa.Integer(), server_default='0', nullable=False))
    op.add_column('sessions', sa.Column('external_urls', postgresql.JSONB(astext_type=sa.Text()), server_default='[]', nullable=False))
    op.create_index('sessions_issue_holder_idx', 'sessions', ['org_id', 'issue_id'], unique=True, postgresql_where=sa.text('holds_issue'))
    op.create_index('sessions_parked_idx', 'sessions', ['org_id', 'issue_id', 'priority', 'queued_at'], unique=False, postgresql_where=sa.text("waits_for = 'issue'"))
    op.add_column('workers', sa.Column('short_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('workers', sa.Column('short_before_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('workers', sa.Column('left_at', sa.DateTime(timezone=True), nullable=True))
    # The queue no longer holds what waits for its issue or for a person.
    op.drop_index("sessions_queue_idx", "sessions")
    op.create_index(
        "sessions_queue_idx",
        "sessions",
        ["org_id", "project_id", "priority", "queued_at"],
        postgresql_where=sa.text("status = 'pending' AND waits_for IS NULL"),
    )
    # What was at work before locks existed holds its issue, the oldest first where several do.
    op.execute(
        """
        update sessions s set holds_issue = true
          from (select distinct on (org_id, issue_id) org_id, id from sessions
                 where status in ('pending', 'claimed', 'running', 'finalizing')
                   and issue_id <> ''
                 order by org_id, issue_id, queued_at) first
         where s.org_id = first.org_id and s.id = first.id
        """
    )
    op.execute((Path(__file__).parent.parent / "claim_sessions_0002.sql").read_text())
