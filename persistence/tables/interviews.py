"""Interviews: sessions that people talk with, and what their agents say, frame by frame."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from persistence.tables.ground import born, instant, metadata

interviews = Table(
    "interviews",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("request_hash", LargeBinary, nullable=False),  # tells a repeat from another request
    Column("turns_sent", Integer, nullable=False, server_default="0"),  # by people
    Column("turns_begun", Integer, nullable=False, server_default="0"),  # by the agent
    born(),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("org_id", "session_id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

interview_turns = Table(
    "interview_turns",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("number", Integer, nullable=False),  # in the order in which they began
    # When the session was claimed: who claims it anew begins again at `turn-0`.
    instant("claimed_at", nullable=False),
    Column("turn_id", Text, nullable=False),
    born("begun_at"),
    Column("pruned_to", Integer),  # the last index there was, once the frames are gone
    PrimaryKeyConstraint("org_id", "session_id", "number"),
    UniqueConstraint("org_id", "session_id", "claimed_at", "turn_id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["interviews.org_id", "interviews.session_id"]),
)
Index(
    "interview_turns_kept_idx",
    interview_turns.c.begun_at,
    postgresql_where=interview_turns.c.pruned_to.is_(None),
)

# Each row is stored by a statement that has just found its turn, or made it; a foreign key would
# ask that again for every frame.
interview_frames = Table(
    "interview_frames",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("index", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("done", Boolean, nullable=False),
    born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "turn", "index"),
)
