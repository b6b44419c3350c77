"""What happened."""

from sqlalchemy import BigInteger, Column, Identity, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from persistence.tables.ground import born, metadata

audit_pending = Table(
    "audit_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("org_id", Text),  # null: the system's own chain
    Column("event_type", Text, nullable=False),
    Column("actor_id", Text),
    Column("actor_type", Text, nullable=False),
    Column("entity_type", Text),
    Column("entity_id", Text),
    Column("payload", JSONB, nullable=False, server_default="{}"),
    born("occurred_at"),
)
