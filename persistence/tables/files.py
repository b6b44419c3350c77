"""Which files of a repository a session has reserved."""

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from persistence.tables.ground import born, instant, metadata

file_reservations = Table(
    "file_reservations",
    metadata,
    Column("org_id", Text, nullable=False),
    # SHA-256 of repository and path: a path may be longer than an index takes.
    Column("file_key", LargeBinary, nullable=False),
    Column("repository", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("reason", Text),
    born("reserved_at"),
    instant("expires_at", nullable=False),
    PrimaryKeyConstraint("org_id", "file_key"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "file_reservations_session_idx",
    file_reservations.c.org_id,
    file_reservations.c.session_id,
)
