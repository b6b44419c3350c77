"""What agents remember, and which sessions they submit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0019'
down_revision = '0018'


def upgrade() -> None:
    op.add_column('sessions', sa.Column('submitted_by', sa.Text(), nullable=True))
    op.add_column('sessions', sa.Column('submission_depth', sa.Integer(), server_default='0', nullable=False))
    op.create_index('sessions_submitted_idx', 'sessions', ['org_id', 'submitted_by'], unique=False, postgresql_where=sa.text('submitted_by IS NOT NULL'))
    # Trusted, so that the owner of the database may make it; brought along by PostgreSQL itself.
    op.execute('create extension if not exists pg_trgm')
    op.create_table('memories',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('tags', postgresql.ARRAY(sa.Text()), server_default='{}', nullable=False),
    sa.Column('source', sa.Text(), server_default='tool', nullable=False),
    sa.Column('weight', sa.Double(), server_default='1', nullable=False),
    sa.Column('times', sa.Integer(), server_default='1', nullable=False),
    sa.Column('words', postgresql.TSVECTOR(), nullable=False),
    sa.Column('embedder', sa.Text(), nullable=True),
    sa.Column('embedding', postgresql.ARRAY(sa.REAL()), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('remembered_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('memories_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('memories_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'id', name=op.f('memories_pkey')),
    sa.UniqueConstraint('org_id', 'project_id', 'scope', 'content_hash', name=op.f('memories_org_id_project_id_scope_content_hash_key'))
    )
    op.create_index('memories_words_idx', 'memories', ['words'], unique=False, postgresql_using='gin', postgresql_with={'fastupdate': 'off'})
    op.create_index('memories_trigrams_idx', 'memories', ['content'], unique=False, postgresql_using='gin', postgresql_with={'fastupdate': 'off'}, postgresql_ops={'content': 'gin_trgm_ops'})
    op.create_index('memories_latest_idx', 'memories', ['org_id', 'project_id', 'remembered_at'], unique=False)
    op.create_index('memories_session_idx', 'memories', ['org_id', 'session_id'], unique=False)
