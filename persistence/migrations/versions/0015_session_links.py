"""Whose repository an event names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from domain.repositories import places

revision = '0015'
down_revision = '0013'


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
