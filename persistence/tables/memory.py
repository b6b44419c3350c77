"""What agents remember: the notes of a project."""

from typing import Final

from sqlalchemy import (
    REAL,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from persistence.tables.ground import born, metadata

memories = Table(
    "memories",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("session_id", Text, nullable=False),  # who said it last
    # `project`, a label of the agents' own, or `session/<id>`, which that session alone recalls.
    Column("scope", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("source", Text, nullable=False, server_default="tool"),
    Column("weight", Double, nullable=False, server_default="1"),
    Column("times", Integer, nullable=False, server_default="1"),
    # The words of content and tags, and one of the project's own, so that the index of all
    # projects is read for one.
    Column("words", TSVECTOR, nullable=False),
    # Only while an embedder is switched on; its name, since vectors of two do not compare.
    Column("embedder", Text),
    Column("embedding", ARRAY(REAL)),
    born(),
    born("remembered_at"),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("org_id", "project_id", "scope", "content_hash"),
)
# Notes are read more often than written, and a list of pending entries is read as a whole.
AT_ONCE: Final = {"fastupdate": "off"}
Index("memories_words_idx", memories.c.words, postgresql_using="gin", postgresql_with=AT_ONCE)
Index(
    "memories_trigrams_idx",
    memories.c.content,
    postgresql_using="gin",
    postgresql_with=AT_ONCE,
    postgresql_ops={"content": "gin_trgm_ops"},
)
Index("memories_latest_idx", memories.c.org_id, memories.c.project_id, memories.c.remembered_at)
Index("memories_session_idx", memories.c.org_id, memories.c.session_id)
