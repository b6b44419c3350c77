"""What a worker that was lost leaves to the next one."""

from sqlalchemy import (
    JSON,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from persistence.tables.ground import born, instant, metadata

recovery_packets = Table(
    "recovery_packets",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("number", Integer, nullable=False),  # from 1, in the order of the session's packets
    Column("id", Text, nullable=False),
    Column("chain_id", Text, nullable=False),
    Column("previous_id", Text),
    Column("tier", Text, nullable=False),
    Column("token_estimate", Integer, nullable=False),
    Column("data", JSON, nullable=False),  # not JSONB: the text is kept as it was hashed
    Column("content_hash", LargeBinary, nullable=False),
    Column("text", Text, nullable=False),  # what the next worker gets as its `memoryBlock`
    born(),
    instant("resumed_at"),
    PrimaryKeyConstraint("org_id", "session_id", "number"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
