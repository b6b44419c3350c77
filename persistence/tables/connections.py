"""What an organization is connected to."""

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from persistence.tables.ground import born, metadata

connections = Table(
    "connections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The one secret of a connection: a token, or an app's private key.
    Column("secret_encrypted", LargeBinary, nullable=False),
    # What is shown of it: the end of a token, the fingerprint of a key.
    Column("secret_shown", Text, nullable=False),
    Column("app_id", Text),
    Column("installation_id", Text),
    Column("version", Integer, nullable=False, server_default="1"),
    born(),
    born("updated_at"),
    # What projects refer to, so that none names another organization's.
    UniqueConstraint("org_id", "id"),
)
Index("connections_page_idx", connections.c.org_id, connections.c.created_at, connections.c.id)

# What GitHub gave a connection's app a token for: the app is installed there, which only the
# repository's owner can do. Whoever merely names a repository has proved nothing.
opened_repositories = Table(
    "opened_repositories",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("connection_id", Text, nullable=False),
    Column("place", Text, nullable=False),  # `host/owner/name`, in lower case
    born("opened_at"),
    PrimaryKeyConstraint("org_id", "connection_id", "place"),
    ForeignKeyConstraint(
        ["org_id", "connection_id"],
        ["connections.org_id", "connections.id"],
        ondelete="CASCADE",
    ),
)
