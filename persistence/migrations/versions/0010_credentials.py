"""Credentials for agents, their rotations, and which streams wait for these."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0010'
down_revision = '0009'


def upgrade() -> None:
    op.create_table('credentials',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=True),
    sa.Column('env_name', sa.Text(), nullable=True),
    sa.Column('names', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('data_key', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('credentials_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('credentials_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'id', name=op.f('credentials_pkey')),
    sa.UniqueConstraint('org_id', 'kind', 'project_id', 'env_name', name='credentials_place_key', postgresql_nulls_not_distinct=True)
    )
    op.create_table('credential_feeds',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('last_number', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('credential_feeds_org_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', name=op.f('credential_feeds_pkey'))
    )
    op.create_table('credential_rotations',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('rotated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('credential_rotations_org_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'kind', name=op.f('credential_rotations_pkey'))
    )
    op.create_table('credential_streams',
    sa.Column('process_id', sa.Text(), nullable=False),
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('env_name', sa.Text(), nullable=False),
    sa.Column('streams', sa.Integer(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('process_id', 'org_id', 'project_id', 'env_name', name=op.f('credential_streams_pkey'))
    )
