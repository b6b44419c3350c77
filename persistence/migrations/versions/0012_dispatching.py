"""Dispatching: batch jobs, and keys that make a repeat harmless."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0012'
down_revision = '0011'


def upgrade() -> None:
    op.create_table('batch_jobs',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('work_type', sa.Text(), nullable=False),
    sa.Column('item', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('status', sa.Text(), server_default='waiting', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('worker_id', sa.Text(), nullable=True),
    sa.Column('claimed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lease_ends_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('result', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('result_hash', sa.LargeBinary(), nullable=True),
    sa.Column('failure_reason', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('batch_jobs_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('batch_jobs_project_id_fkey')),
    sa.ForeignKeyConstraint(['worker_id'], ['workers.id'], name=op.f('batch_jobs_worker_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'id', name=op.f('batch_jobs_pkey'))
    )
    op.create_index('batch_jobs_queue_idx', 'batch_jobs', ['org_id', 'project_id', 'work_type', 'created_at', 'id'], unique=False, postgresql_where=sa.text("status = 'waiting'"))
    op.create_index('batch_jobs_held_idx', 'batch_jobs', ['worker_id', 'work_type'], unique=False, postgresql_where=sa.text("status = 'claimed'"))
    op.create_index('batch_jobs_page_idx', 'batch_jobs', ['org_id', 'created_at', 'id'], unique=False)
    op.create_table('idempotency_keys',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('caller_id', sa.Text(), nullable=False),
    sa.Column('operation_id', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('request_hash', sa.LargeBinary(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('answer', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('idempotency_keys_org_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'caller_id', 'operation_id', 'key', name=op.f('idempotency_keys_pkey'))
    )
    op.create_index('idempotency_keys_age_idx', 'idempotency_keys', ['created_at'], unique=False)
