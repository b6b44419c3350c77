"""Peers, their dispatches and our own tasks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table('a2a_agents',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('trust_level', sa.Text(), nullable=False),
    sa.Column('card', sa.Text(), nullable=False),
    sa.Column('card_url', sa.Text(), nullable=False),
    sa.Column('etag', sa.Text(), nullable=True),
    sa.Column('token_encrypted', sa.LargeBinary(), nullable=True),
    sa.Column('reachable', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('last_fetched_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('card_changed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('a2a_agents_org_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('a2a_agents_pkey')),
    sa.UniqueConstraint('org_id', 'url', name=op.f('a2a_agents_org_id_url_key'))
    )
    op.create_index('a2a_agents_page_idx', 'a2a_agents', ['org_id', 'created_at', 'id'], unique=False)
    op.create_table('a2a_dispatches',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('agent_id', sa.Text(), nullable=False),
    sa.Column('agent_name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('work_type', sa.Text(), nullable=True),
    sa.Column('skill_id', sa.Text(), nullable=True),
    sa.Column('session_id', sa.Text(), nullable=True),
    sa.Column('input_text', sa.Text(), nullable=False),
    sa.Column('input_data', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('context_id', sa.Text(), nullable=False),
    sa.Column('task_id', sa.Text(), nullable=True),
    sa.Column('remote_state', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), server_default='pending', nullable=False),
    sa.Column('output_text', sa.Text(), nullable=True),
    sa.Column('artifacts', sa.Text(), nullable=True),
    sa.Column('cost_tokens', sa.BigInteger(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('cancel_requested', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('looks', sa.Integer(), server_default='0', nullable=False),
    sa.Column('tried', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('taken', sa.Integer(), server_default='0', nullable=False),
    sa.Column('next_try_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('a2a_dispatches_org_id_session_id_fkey')),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('a2a_dispatches_org_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('a2a_dispatches_pkey'))
    )
    op.create_index('a2a_dispatches_agent_idx', 'a2a_dispatches', ['org_id', 'agent_id', 'created_at', 'id'], unique=False)
    op.create_index('a2a_dispatches_due_idx', 'a2a_dispatches', ['next_try_at', 'id'], unique=False, postgresql_where=sa.text("status in ('pending', 'running')"))
    op.create_index('a2a_dispatches_page_idx', 'a2a_dispatches', ['org_id', 'created_at', 'id'], unique=False)
    op.create_table('a2a_tasks',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('context_id', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('a2a_tasks_org_id_session_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('a2a_tasks_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', name=op.f('a2a_tasks_pkey'))
    )
    op.create_index('a2a_tasks_context_idx', 'a2a_tasks', ['org_id', 'context_id', 'created_at', 'session_id'], unique=False)
    op.create_index('a2a_tasks_page_idx', 'a2a_tasks', ['org_id', 'created_at', 'session_id'], unique=False)
    op.create_table('a2a_messages',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('position', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('sender_id', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('message_hash', sa.LargeBinary(), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['a2a_tasks.org_id', 'a2a_tasks.session_id'], name=op.f('a2a_messages_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'position', name=op.f('a2a_messages_pkey')),
    sa.UniqueConstraint('org_id', 'sender_id', 'message_id', 'message_hash', name='a2a_messages_once')
    )
    op.create_table('a2a_push_configs',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('generation', sa.Text(), nullable=False),
    sa.Column('secret_encrypted', sa.LargeBinary(), nullable=True),
    sa.Column('told_state', sa.Text(), nullable=True),
    sa.Column('is_done', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('next_try_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['a2a_tasks.org_id', 'a2a_tasks.session_id'], name=op.f('a2a_push_configs_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'id', name=op.f('a2a_push_configs_pkey'))
    )
    op.create_index('a2a_push_configs_due_idx', 'a2a_push_configs', ['next_try_at'], unique=False, postgresql_where=sa.text('not is_done'))
    op.add_column('organizations', sa.Column('publishes_card', sa.Boolean(), server_default=sa.text('false'), nullable=False))
