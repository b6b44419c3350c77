"""The machines that workers run on, and what they are told to change about themselves."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from persistence.tables.ground import born, instant, metadata

worker_hosts = Table(
    "worker_hosts",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("id", Text, primary_key=True),
    # A machine is whatever names itself so under one registration: another key that claims the
    # same machine gets a host of its own, and none of this one's mutations.
    Column("registration_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("machine_id", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="ok"),
    Column("recommended_action", Text),
    Column("candidate_pool_ids", ARRAY(Text), nullable=False, server_default="{}"),
    born(),
    born("registered_at"),
    UniqueConstraint("registration_id", "machine_id"),
)
Index("worker_hosts_machine_idx", worker_hosts.c.org_id, worker_hosts.c.machine_id)

mutations = Table(
    "mutations",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("id", Text, primary_key=True),
    Column("host_id", Text, ForeignKey("worker_hosts.id"), nullable=False),
    Column("seq", BigInteger, Identity(always=True), nullable=False),  # the order of delivery
    Column("op", Text, nullable=False),
    # Not JSONB, which gives 1e300 back as an integer that no answer can hold.
    Column("params", JSON, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("requested_by", Text, nullable=False),
    Column("error", Text),  # what the host said of a failed one
    born(),
    instant("delivered_at"),
    instant("cancelled_at"),
    instant("settled_at"),  # when the host acknowledged it
)
Index("mutations_page_idx", mutations.c.host_id, mutations.c.created_at, mutations.c.id)
# What a heartbeat looks at: it holds no entry for anything that is settled.
Index(
    "mutations_open_idx",
    mutations.c.host_id,
    mutations.c.seq,
    postgresql_where=text("status in ('pending', 'delivered')"),
)
