"""Who may call: keys, clients, browser sessions, and the keys that sign."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from persistence.tables.ground import born, instant, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("project_ids", ARRAY(Text)),  # null: every project of the organization
    # The deployment-wide worker key is a row like any other, but registers without a token.
    Column("is_deployment_key", Boolean, nullable=False, server_default=text("false")),
    born(),
    instant("expires_at"),
    instant("revoked_at"),
)
Index("api_keys_page_idx", api_keys.c.org_id, api_keys.c.created_at, api_keys.c.id)

m2m_clients = Table(
    "m2m_clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    born(),
    instant("revoked_at"),
)
Index("m2m_clients_page_idx", m2m_clients.c.org_id, m2m_clients.c.created_at, m2m_clients.c.id)

browser_sessions = Table(
    "browser_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False),
    born(),
    instant("expires_at", nullable=False),
    instant("ended_at"),
)
Index("browser_sessions_end_idx", browser_sessions.c.expires_at)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("secret_encrypted", LargeBinary, nullable=False),
    born(),
    instant("retired_at"),
)
Index(
    "signing_keys_one_active_idx",
    signing_keys.c.purpose,
    unique=True,
    postgresql_where=signing_keys.c.retired_at.is_(None),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("caller_id", Text, nullable=False),  # the credential that sent it
    Column("operation_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", JSONB, nullable=False),
    born(),
    PrimaryKeyConstraint("org_id", "caller_id", "operation_id", "key"),
)
Index("idempotency_keys_age_idx", idempotency_keys.c.created_at)
