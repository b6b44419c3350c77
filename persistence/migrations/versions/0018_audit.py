"""The audit chains: events by month, their heads, keys, trees and checkpoints."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'


def upgrade() -> None:
    op.create_table('audit_chains',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('head_hash', sa.LargeBinary(), nullable=False),
    sa.Column('head_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('frontier', sa.LargeBinary(), nullable=False),
    sa.Column('checkpoint_size', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('checkpoint_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('subject_key', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', name=op.f('audit_chains_pkey'))
    )
    op.create_index('audit_chains_uncovered_idx', 'audit_chains', ['workspace_id'], unique=False, postgresql_where=sa.text('size > checkpoint_size'))
    op.create_table('audit_checkpoints',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('tree_size', sa.BigInteger(), nullable=False),
    sa.Column('root_hash', sa.LargeBinary(), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('filed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('posted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('stamped_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('time_stamp', sa.LargeBinary(), nullable=True),
    sa.PrimaryKeyConstraint('workspace_id', 'tree_size', name=op.f('audit_checkpoints_pkey'))
    )
    op.create_index('audit_checkpoints_stamped_idx', 'audit_checkpoints', ['workspace_id', 'tree_size'], unique=False, postgresql_where=sa.text('stamped_at IS NOT NULL'))
    op.create_index('audit_checkpoints_unfiled_idx', 'audit_checkpoints', ['created_at'], unique=False, postgresql_where=sa.text('filed_at IS NULL'))
    op.create_table('audit_events',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('sequence_number', sa.BigInteger(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('event_type', sa.Text(), nullable=False),
    sa.Column('actor_id', sa.Text(), nullable=True),
    sa.Column('actor_type', sa.Text(), nullable=False),
    sa.Column('entity_type', sa.Text(), nullable=True),
    sa.Column('entity_id', sa.Text(), nullable=True),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('prev_hash', sa.LargeBinary(), nullable=False),
    sa.Column('entry_hash', sa.LargeBinary(), nullable=False),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('signature', sa.LargeBinary(), nullable=False),
    sa.Column('signing_key_id', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', 'sequence_number', 'occurred_at', name=op.f('audit_events_pkey')),
    postgresql_partition_by='RANGE (occurred_at)'
    )
    op.create_index('audit_events_entity_idx', 'audit_events', ['workspace_id', 'entity_id', 'sequence_number'], unique=False)
    op.create_index('audit_events_entity_type_idx', 'audit_events', ['workspace_id', 'entity_type', 'sequence_number'], unique=False)
    op.create_table('audit_key_secrets',
    sa.Column('kid', sa.Text(), nullable=False),
    sa.Column('secret_encrypted', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('kid', name=op.f('audit_key_secrets_pkey'))
    )
    op.create_table('audit_keys',
    sa.Column('kid', sa.Text(), nullable=False),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('public_key', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('kid', name=op.f('audit_keys_pkey'))
    )
    op.create_index('audit_keys_one_active_idx', 'audit_keys', ['workspace_id'], unique=True, postgresql_where=sa.text('revoked_at IS NULL'))
    op.create_index('audit_keys_workspace_idx', 'audit_keys', ['workspace_id'], unique=False)
    op.create_table('audit_nodes',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('level', sa.SmallInteger(), nullable=False),
    sa.Column('index', sa.BigInteger(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', 'level', 'index', name=op.f('audit_nodes_pkey'))
    )
    op.create_table('audit_subjects',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('key_encrypted', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('audit_subjects_pkey')),
    sa.UniqueConstraint('workspace_id', 'digest', name=op.f('audit_subjects_workspace_id_digest_key'))
    )
    op.execute((Path(__file__).parent.parent / "audit_0018.sql").read_text())
