"""Connections to providers, and the settings of a project."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0011'
down_revision = '0010'


def upgrade() -> None:
    op.create_table('connections',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('secret_encrypted', sa.LargeBinary(), nullable=False),
    sa.Column('secret_shown', sa.Text(), nullable=False),
    sa.Column('app_id', sa.Text(), nullable=True),
    sa.Column('installation_id', sa.Text(), nullable=True),
    sa.Column('version', sa.Integer(), server_default='1', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('connections_org_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('connections_pkey')),
    sa.UniqueConstraint('org_id', 'id', name=op.f('connections_org_id_id_key'))
    )
    op.create_index('connections_page_idx', 'connections', ['org_id', 'created_at', 'id'], unique=False)
    op.add_column('projects', sa.Column('default_branch', sa.Text(), nullable=True))
    op.add_column('projects', sa.Column('other_repositories', postgresql.JSONB(astext_type=sa.Text()), server_default='[]', nullable=False))
    for provider in ('linear', 'github', 'vercel'):
        op.add_column('projects', sa.Column(f'{provider}_connection_id', sa.Text(), nullable=True))
        op.create_foreign_key(op.f(f'projects_org_id_{provider}_connection_id_fkey'), 'projects', 'connections', ['org_id', f'{provider}_connection_id'], ['org_id', 'id'])
    for name in ('development', 'qa', 'acceptance', 'refinement'):
        op.add_column('projects', sa.Column(f'auto_{name}', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('projects', sa.Column('disabled_work_types', postgresql.ARRAY(sa.Text()), server_default='{}', nullable=False))
    op.add_column('projects', sa.Column('excluded_labels', postgresql.ARRAY(sa.Text()), server_default='{}', nullable=False))
    op.add_column('projects', sa.Column('state_names', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False))
    op.add_column('projects', sa.Column('tries_per_work_type', sa.Integer(), server_default='3', nullable=False))
    op.add_column('projects', sa.Column('sessions_per_issue', sa.Integer(), server_default='8', nullable=False))
    op.add_column('projects', sa.Column('settings_version', sa.Integer(), server_default='1', nullable=False))
