"""Webhooks: stored before they are answered, worked on afterwards."""

import hashlib
from typing import Any

from auth.webhook_signatures import VerifiedDelivery
from domain.ids import new_id
from domain.provider_events import about
from handlers.replies import Reply
from persistence import audit, database, webhook_events
from persistence.ephemeral import nudges


async def webhook_ingest(
    provider: str,
    user: VerifiedDelivery,
    body: dict[str, Any],
    linear_delivery: str | None,
    x_git_hub_delivery: str | None,
    x_git_hub_event: str | None,
) -> Reply:
    """Store a verified delivery once, and wake the job that works on it.

    A repeat is a known delivery id or a known body: the id lies outside the signature, so a body
    that was caught on its way must not come in again under a new one (decision 23).
    """
    delivery_id = {
        "linear": linear_delivery,
        "vercel": body.get("id") if isinstance(body.get("id"), str) else None,
    }.get(provider, x_git_hub_delivery)
    marks = {"sha256": hashlib.sha256(user.body).hexdigest()}
    if delivery_id:
        marks["id"] = delivery_id[:200]
    event_id, correlation_id = new_id("evt"), new_id("corr")
    name = event_name(provider, body, x_git_hub_event)
    kind = about(provider, name, body)
    async with database.transaction() as db:
        is_new = await webhook_events.is_new(db, provider, user.verified_by, event_id, marks)
        if is_new:
            await webhook_events.store(
                db,
                {
                    "id": event_id,
                    "correlation_id": correlation_id,
                    "provider": provider,
                    "verified_by": user.verified_by,
                    "event_name": name,
                    "type": kind.type,
                    "line": kind.line,
                    # An own secret says whose it is; the server's does not.
                    "org_id": user.verified_by or None,
                    "delivery_id": delivery_id,
                    "body": user.body,
                },
            )
            await audit.append(
                db,
                user.verified_by or None,
                None,
                "webhook.ingest",
                ("webhook_event", event_id),
                {"provider": provider, "correlationId": correlation_id},
            )
    if not is_new:
        return {"ok": True, "duplicate": True}, 200
    await nudges.try_nudge(nudges.EVENTS)
    return {"ok": True, "eventId": event_id, "correlationId": correlation_id}, 200


def event_name(provider: str, body: dict[str, Any], header: str | None) -> str:
    """What kind of event it is, in the provider's words, for people who look at the table."""
    named = header if provider.startswith("github") else body.get("type")
    return f"{named}.{body.get('action', '')}".rstrip(".")[:200]
