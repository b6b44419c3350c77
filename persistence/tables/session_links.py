"""What providers say belongs to a session."""

from sqlalchemy import Column, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, Text

from persistence.tables.ground import born, instant, metadata

session_links = Table(
    "session_links",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    # pull-request, review, comment, issue, check, run, deployment
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),  # the same for everything that is said of one thing
    Column("url", Text, nullable=False),
    Column("title", Text),
    Column("state", Text),
    instant("at", nullable=False),  # when it was so, by the provider's clock
    born(),
    born("updated_at"),
    PrimaryKeyConstraint("org_id", "session_id", "kind", "key"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index("session_links_key_idx", session_links.c.org_id, session_links.c.key)
