"""What goes out."""

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from persistence.tables.ground import born, instant, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("session_id", Text),  # null: of an issue, and of no session
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    born("next_try_at"),  # while it is `sending`: when its sender counts as gone
    born(),
    instant("sent_at"),
    Column("last_error", Text),
    Column("project_id", Text, ForeignKey("projects.id")),  # of a row without a session
    Column("issue_id", Text),
    # What goes out in order: all of a session, or all of an issue.
    Column("line", Text, Computed("coalesce(session_id, 'issue/' || issue_id)", persisted=True)),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "outbox_order_idx",
    outbox.c.org_id,
    outbox.c.line,
    outbox.c.id,
    postgresql_where=text("status in ('waiting', 'sending')"),
)
Index(
    "outbox_due_idx",
    outbox.c.next_try_at,
    outbox.c.id,
    postgresql_where=text("status in ('waiting', 'sending')"),
)
# By what it is pruned; the last try is when it was settled.
Index(
    "outbox_settled_idx",
    outbox.c.status,
    outbox.c.next_try_at,
    postgresql_where=text("status in ('sent', 'dead')"),
)
