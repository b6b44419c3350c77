"""What comes in."""

from sqlalchemy import Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from persistence.tables.ground import born, instant, metadata

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("correlation_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("verified_by", Text, nullable=False),  # '' for the server's secret, else the org's id
    Column("event_name", Text),
    Column("delivery_id", Text),
    Column("body", LargeBinary, nullable=False),  # the bytes that were signed
    Column("org_id", Text),  # null until it is known whose event it is
    Column("status", Text, nullable=False, server_default="received"),
    Column("outcome", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    born("received_at"),
    born("next_try_at"),
    instant("done_at"),
)
Index(
    "webhook_events_waiting_idx",
    webhook_events.c.next_try_at,
    postgresql_where=webhook_events.c.status == text("'received'"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # Kept for good: the ids and body hashes outlive the events they point at.
    Column("provider", Text, nullable=False),
    Column("verified_by", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    PrimaryKeyConstraint("provider", "verified_by", "kind", "value"),
)
