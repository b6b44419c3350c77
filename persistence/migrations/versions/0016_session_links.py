"""Whose repository an event names, what belongs to a session, and what came of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from domain.repositories import places

revision = '0016'
down_revision = '0015'


def upgrade() -> None:
    op.add_column('projects', sa.Column('repository_places', postgresql.ARRAY(sa.Text()), server_default='{}', nullable=False))
    op.create_index('projects_repository_places_idx', 'projects', ['repository_places'], unique=False, postgresql_using='gin')
    rows = op.get_bind().execute(sa.text('select id, repository, other_repositories from projects where repository is not null')).all()
    for row in rows:
        op.get_bind().execute(
            sa.text('update projects set repository_places = :places where id = :id'),
            {'id': row.id, 'places': places([row.repository, *(each['cloneUrl'] for each in row.other_repositories)])},
        )
    op.create_table('opened_repositories',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('connection_id', sa.Text(), nullable=False),
    sa.Column('place', sa.Text(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'connection_id'], ['connections.org_id', 'connections.id'], name=op.f('opened_repositories_org_id_connection_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('org_id', 'connection_id', 'place', name=op.f('opened_repositories_pkey'))
    )
    op.create_table('session_links',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('title', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id', 'session_id'], ['sessions.org_id', 'sessions.id'], name=op.f('session_links_org_id_session_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'session_id', 'kind', 'key', name=op.f('session_links_pkey'))
    )
    op.create_index('session_links_key_idx', 'session_links', ['org_id', 'key'], unique=False)
    op.create_index('sessions_identifier_idx', 'sessions', ['org_id', 'project_id', 'issue_identifier'], unique=False)
    op.create_index('sessions_urls_idx', 'sessions', ['external_urls'], unique=False, postgresql_using='gin', postgresql_ops={'external_urls': 'jsonb_path_ops'}, postgresql_where=sa.text("external_urls <> '[]'"))
    for name in ('runs', 'deployments'):
        op.add_column('projects', sa.Column(f'scan_failed_{name}', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('routing_observations', sa.Column('outcome', sa.Text(), server_default='', nullable=False))
    op.drop_constraint('routing_observations_pkey', 'routing_observations')
    op.create_primary_key('routing_observations_pkey', 'routing_observations', ['org_id', 'session_id', 'lease_epoch', 'work_type', 'provider', 'outcome'])
