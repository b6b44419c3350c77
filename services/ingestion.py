"""The inbox of webhooks: a delivery is stored once, however it came."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.ids import new_id
from domain.provider_events import about
from persistence import audit, webhook_events

MOST_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as a provider sent it."""

    provider: str
    verified_by: str
    """The organization whose secret or connection vouches for it; '' for the server's secret."""
    body: bytes
    said: Mapping[str, Any]
    """The body, parsed."""
    id: str | None
    event_header: str | None
    """GitHub's word for the kind of event, which its bodies lack."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a stored event is called."""

    event_id: str
    correlation_id: str


async def ingest(db: AsyncConnection, delivery: Delivery, **noted: Any) -> Stored | None:
    """Store a delivery and what the audit log says of it; None for a repeat.

    A repeat is a known delivery id or a known body: the id lies outside the signature, so a body
    that was caught on its way must not come in again under a new one (decision 23). `noted` is
    added to the audit event.
    """
    marks = {"sha256": hashlib.sha256(delivery.body).hexdigest()}
    if delivery.id:
        marks["id"] = delivery.id[:MOST_CHARACTERS]
    stored = Stored(new_id("evt"), new_id("corr"))
    if not await webhook_events.is_new(
        db, delivery.provider, delivery.verified_by, stored.event_id, marks
    ):
        return None
    name = _event_name(delivery)
    kind = about(delivery.provider, name, delivery.said)
    # An own secret says whose it is; the server's does not.
    org_id = delivery.verified_by or None
    await webhook_events.store(
        db,
        {
            "id": stored.event_id,
            "correlation_id": stored.correlation_id,
            "provider": delivery.provider,
            "verified_by": delivery.verified_by,
            "event_name": name,
            "type": kind.type,
            "line": kind.line,
            "sender": delivery.verified_by or kind.sender,
            "org_id": org_id,
            "delivery_id": delivery.id,
            "body": delivery.body,
        },
    )
    await audit.append(
        db,
        org_id,
        None,
        "webhook.ingest",
        ("webhook_event", stored.event_id),
        {"provider": delivery.provider, "correlationId": stored.correlation_id, **noted},
    )
    return stored


def _event_name(delivery: Delivery) -> str:
    """What kind of event it is, in the provider's words, for people who look at the table."""
    from_header = delivery.provider.startswith("github")
    named = delivery.event_header if from_header else delivery.said.get("type")
    return f"{named}.{delivery.said.get('action', '')}".rstrip(".")[:MOST_CHARACTERS]
