"""What workers say of their sessions, and what people say to them."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from persistence.tables.ground import born, instant, metadata

activities = Table(
    "activities",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("activity", JSONB, nullable=False),
    Column("repeat_key", LargeBinary),  # equal for a repeat of the same post
    born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "seq"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "activities_repeat_idx",
    activities.c.org_id,
    activities.c.session_id,
    activities.c.repeat_key,
    unique=True,
    postgresql_where=activities.c.repeat_key.is_not(None),
)

completions = Table(
    "completions",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("summary", Text, nullable=False),
    Column("plan_items", JSONB),
    born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", "body_hash"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

inbox_messages = Table(
    "inbox_messages",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    # The two halves of the message's id, `<ms>-<seq>`; they grow within a session.
    Column("ms", BigInteger, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("lane", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("user_id", Text),
    Column("user_name", Text),
    Column("turn_id", Text),  # of an interview: the turn that answers it
    born(),
    Column("offers", Integer, nullable=False, server_default="0"),
    instant("offered_at"),
    instant("acknowledged_at"),
    PrimaryKeyConstraint("org_id", "session_id", "ms", "seq"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "inbox_messages_waiting_idx",
    inbox_messages.c.org_id,
    inbox_messages.c.session_id,
    postgresql_where=inbox_messages.c.acknowledged_at.is_(None),
)

prompts = Table(
    "prompts",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("prompt_hash", LargeBinary, nullable=False),
    Column("turn_id", Text),
    born(),
    PrimaryKeyConstraint("org_id", "session_id", "id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "prompts_idempotency_idx",
    prompts.c.org_id,
    prompts.c.session_id,
    prompts.c.idempotency_key,
    unique=True,
    postgresql_where=prompts.c.idempotency_key.is_not(None),
)

security_scans = Table(
    "security_scans",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("scanned_at", Text, nullable=False),  # the event's own time stamp: a repeat overwrites
    Column("event", JSONB, nullable=False),
    born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "scanned_at"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

tool_errors = Table(
    "tool_errors",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("tool_name", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("context", JSONB, nullable=False, server_default="{}"),
    born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", "body_hash"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
