"""What comes in."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

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
    # received, failed (it is tried again), done, parked (nobody's workspace), dead. An event that
    # is being worked on is `received` or `failed` and locked: who works on it holds its row.
    Column("status", Text, nullable=False, server_default="received"),
    Column("outcome", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    born("received_at"),
    born("next_try_at"),
    instant("done_at"),
    Column("type", Text, nullable=False, server_default=""),
    # What keeps its order: events of one line are worked on one after the other.
    Column("line", Text, nullable=False, server_default=""),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    # Whose turn it is: the organization by whose own secret it came, or the provider's account.
    Column("sender", Text, nullable=False, server_default=""),
)
_WAITING = text("status in ('received', 'failed')")
Index(
    "webhook_events_turn_idx",
    webhook_events.c.sender,
    webhook_events.c.position,
    postgresql_where=_WAITING,
)
Index(
    "webhook_events_line_idx",
    webhook_events.c.provider,
    webhook_events.c.verified_by,
    webhook_events.c.line,
    webhook_events.c.position,
    postgresql_where=_WAITING,
)
Index(
    "webhook_events_page_idx",
    webhook_events.c.org_id,
    webhook_events.c.received_at,
    webhook_events.c.id,
)
Index("webhook_events_all_idx", webhook_events.c.received_at, webhook_events.c.id)
Index(
    "webhook_events_trouble_idx",
    webhook_events.c.received_at,
    webhook_events.c.id,
    postgresql_where=text("status not in ('received', 'done')"),
)
Index(
    "webhook_events_org_trouble_idx",
    webhook_events.c.org_id,
    webhook_events.c.received_at,
    webhook_events.c.id,
    postgresql_where=text("status not in ('received', 'done')"),
)
# By what it is pruned: an event that waits has no `done_at`, one that was settled has.
Index(
    "webhook_events_settled_idx",
    webhook_events.c.status,
    webhook_events.c.done_at,
    postgresql_where=webhook_events.c.done_at.is_not(None),
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

# Up to when what a GitHub connection's webhook failed to deliver has been fetched.
delivery_looks = Table(
    "delivery_looks",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("connection_id", Text, nullable=False),
    instant("looked_until"),
    born("next_look_at"),
    PrimaryKeyConstraint("org_id", "connection_id"),
    ForeignKeyConstraint(
        ["org_id", "connection_id"],
        ["connections.org_id", "connections.id"],
        ondelete="CASCADE",
    ),
)
