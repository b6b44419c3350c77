"""Mutations: the hosts behind the workers, and what they are told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0006'
down_revision = '0005'


def upgrade() -> None:
    op.create_table('worker_hosts',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('registration_id', sa.Text(), nullable=False),
    sa.Column('machine_id', sa.Text(), nullable=False),
    sa.Column('hostname', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), server_default='ok', nullable=False),
    sa.Column('recommended_action', sa.Text(), nullable=True),
    sa.Column('candidate_pool_ids', postgresql.ARRAY(sa.Text()), server_default='{}', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('registered_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('worker_hosts_org_id_fkey')),
    sa.ForeignKeyConstraint(['registration_id'], ['api_keys.id'], name=op.f('worker_hosts_registration_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('worker_hosts_pkey')),
    sa.UniqueConstraint('registration_id', 'machine_id', name=op.f('worker_hosts_registration_id_machine_id_key'))
    )
    op.create_index('worker_hosts_machine_idx', 'worker_hosts', ['org_id', 'machine_id'], unique=False)
    op.create_table('mutations',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('host_id', sa.Text(), nullable=False),
    sa.Column('seq', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('op', sa.Text(), nullable=False),
    sa.Column('params', postgresql.JSON(astext_type=sa.Text()), nullable=False),
    sa.Column('status', sa.Text(), server_default='pending', nullable=False),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancelled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['host_id'], ['worker_hosts.id'], name=op.f('mutations_host_id_fkey')),
    sa.ForeignKeyConstraint(['org_id'], ['organizations.id'], name=op.f('mutations_org_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('mutations_pkey'))
    )
    op.create_index('mutations_page_idx', 'mutations', ['host_id', 'created_at', 'id'], unique=False)
    op.create_index('mutations_open_idx', 'mutations', ['host_id', 'seq'], unique=False, postgresql_where=sa.text("status in ('pending', 'delivered')"))
    op.add_column('workers', sa.Column('host_id', sa.Text(), nullable=True))
    op.create_foreign_key(op.f('workers_host_id_fkey'), 'workers', 'worker_hosts', ['host_id'], ['id'])
    # The machines that workers named before they were rows.
    op.execute(
        """
        insert into worker_hosts (org_id, id, registration_id, machine_id, hostname, registered_at)
        select distinct on (registration_id, machine_id)
               org_id, 'host_' || left(replace(gen_random_uuid()::text, '-', ''), 16),
               registration_id, machine_id, hostname, registered_at
          from workers
         where machine_id <> ''
         order by registration_id, machine_id, registered_at desc
        """
    )
    op.execute(
        """
        update workers w set host_id = h.id
          from worker_hosts h
         where h.registration_id = w.registration_id and h.machine_id = w.machine_id
        """
    )
