"""What became of sessions, numbered in the order in which it could be seen."""

from sqlalchemy import BigInteger, Column, Identity, Index, PrimaryKeyConstraint, Table, Text

from persistence.tables.ground import born, metadata

# A trigger on `sessions` notes every change of the status that people see. The number comes after
# the commit: whoever numbers takes turns, so that no number is given before a lower one is seen.
session_events = Table(
    "session_events",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("seq", BigInteger),
    Column("project_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("public_id", Text, nullable=False),
    Column("issue_identifier", Text, nullable=False),
    Column("work_type", Text, nullable=False),
    Column("previous", Text),  # null: the session is new
    Column("status", Text, nullable=False),
    born("at"),
    PrimaryKeyConstraint("org_id", "id"),
)
Index(
    "session_events_seq_idx",
    session_events.c.org_id,
    session_events.c.seq,
    unique=True,
    postgresql_where=session_events.c.seq.is_not(None),
)
Index(
    "session_events_new_idx",
    session_events.c.id,
    postgresql_where=session_events.c.seq.is_(None),
)

# The number of an organization's last event, the pruned ones included.
event_feeds = Table(
    "event_feeds",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("org_id"),
)
