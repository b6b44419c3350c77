"""The built-in tracker: issues, their comments and relations, and the teams' states and labels."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0017'
down_revision = '0016'


def upgrade() -> None:
    op.create_table('tracker_comments',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('position', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('issue_id', sa.Text(), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('author', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('digest', sa.LargeBinary(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('tracker_comments_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('tracker_comments_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'project_id', 'id', name=op.f('tracker_comments_pkey'))
    )
    op.create_index('tracker_comments_issue_idx', 'tracker_comments', ['org_id', 'project_id', 'issue_id', 'created_at'], unique=False)
    op.create_table('tracker_issues',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('identifier', sa.Text(), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('priority', sa.Integer(), server_default='0', nullable=False),
    sa.Column('state', sa.Text(), nullable=True),
    sa.Column('reported_state', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('team', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('assignee', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('parent_id', sa.Text(), nullable=True),
    sa.Column('parent_identifier', sa.Text(), nullable=True),
    sa.Column('tracker_project', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('labels', postgresql.JSONB(astext_type=sa.Text()), server_default='[]', nullable=False),
    sa.Column('awaited', postgresql.ARRAY(sa.Text()), server_default='{}', nullable=False),
    sa.Column('awaited_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reported_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('gone', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('tracker_issues_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('tracker_issues_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'project_id', 'id', name=op.f('tracker_issues_pkey'))
    )
    op.create_index('tracker_issues_id_idx', 'tracker_issues', ['org_id', 'id'], unique=False)
    op.create_index('tracker_issues_identifier_idx', 'tracker_issues', ['org_id', 'identifier'], unique=False)
    op.create_index('tracker_issues_parent_idx', 'tracker_issues', ['org_id', 'project_id', 'parent_id'], unique=False, postgresql_where=sa.text('parent_id IS NOT NULL'))
    op.create_table('tracker_labels',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('tracker_labels_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('tracker_labels_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'project_id', 'id', name=op.f('tracker_labels_pkey'))
    )
    op.create_table('tracker_relations',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('issue_id', sa.Text(), nullable=False),
    sa.Column('related_issue_id', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('tracker_relations_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('tracker_relations_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'project_id', 'id', name=op.f('tracker_relations_pkey')),
    sa.UniqueConstraint('org_id', 'project_id', 'issue_id', 'related_issue_id', 'type', name='tracker_relations_one')
    )
    op.create_index('tracker_relations_back_idx', 'tracker_relations', ['org_id', 'project_id', 'related_issue_id'], unique=False)
    op.create_table('tracker_states',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=False),
    sa.Column('team_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('tracker_states_org_id_fkey')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('tracker_states_project_id_fkey')),
    sa.PrimaryKeyConstraint('org_id', 'project_id', 'team_id', 'id', name=op.f('tracker_states_pkey'))
    )
    op.add_column('outbox', sa.Column('project_id', sa.Text(), nullable=True))
    op.add_column('outbox', sa.Column('issue_id', sa.Text(), nullable=True))
    op.add_column('outbox', sa.Column('line', sa.Text(), sa.Computed("coalesce(session_id, 'issue/' || issue_id)", persisted=True), nullable=True))
    op.alter_column('outbox', 'session_id',
               existing_type=sa.TEXT(),
               nullable=True)
    op.drop_index(op.f('outbox_order_idx'), table_name='outbox', postgresql_where="(status = ANY (ARRAY['waiting'::text, 'sending'::text]))")
    op.create_index('outbox_order_idx', 'outbox', ['org_id', 'line', 'id'], unique=False, postgresql_where=sa.text("status in ('waiting', 'sending')"))
    op.create_foreign_key(op.f('outbox_project_id_fkey'), 'outbox', 'projects', ['project_id'], ['id'])
