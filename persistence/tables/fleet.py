"""Workers, and the pulse that says whether heartbeats can be stored."""

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    Date,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from persistence.tables.ground import born, instant, metadata

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("registration_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("hostname", Text, nullable=False),
    Column("machine_id", Text),
    Column("host_id", Text, ForeignKey("worker_hosts.id")),  # none without an explicit machine
    Column("version", Text),
    Column("region", Text),
    Column("capacity", Integer, nullable=False),
    Column("projects", ARRAY(Text), nullable=False, server_default="{}"),
    Column("capabilities", ARRAY(Text), nullable=False, server_default="{}"),
    Column("status", Text, nullable=False, server_default="idle"),
    Column("active_count", Integer, nullable=False, server_default="0"),
    born("registered_at"),
    born("last_heartbeat_at"),
    # The day of it in UTC. An index over days stays as it is when a heartbeat is stored.
    Column(
        "seen_on",
        Date,
        Computed("((last_heartbeat_at AT TIME ZONE 'utc'))::date", persisted=True),
        nullable=False,
    ),
    # When a heartbeat last counted at least as many sessions as the worker held.
    born("covered_at"),
    # The largest count of the present lease-long window and of the one before it.
    Column("peak_count", Integer, nullable=False, server_default="0"),
    Column("peak_count_before", Integer, nullable=False, server_default="0"),
    born("peak_since"),
    # When the last two heartbeats in a row came that counted fewer sessions than it held.
    instant("short_at"),
    instant("short_before_at"),
    instant("retired_at"),  # a newer registration of the machine took over: no new work
    instant("left_at"),  # it said good-bye
    instant("revoked_at"),  # its key was revoked: no call is answered
)
Index(
    "workers_machine_idx",
    workers.c.registration_id,
    workers.c.machine_id,
    postgresql_where=workers.c.retired_at.is_(None),
)
Index("workers_seen_idx", workers.c.org_id, workers.c.seen_on)

service_pulse = Table(
    "service_pulse",
    metadata,
    # One row. A gap between pulses is a time in which no heartbeat could be stored.
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    born("alive_since"),
    born("last_pulse_at"),
)
