"""Webhooks: stored before they are answered, worked on afterwards."""

from typing import Any

from auth.webhook_signatures import VerifiedDelivery
from handlers.replies import Reply
from persistence import database
from persistence.ephemeral import nudges
from services import ingestion


async def webhook_ingest(
    provider: str,
    user: VerifiedDelivery,
    body: dict[str, Any],
    linear_delivery: str | None,
    x_git_hub_delivery: str | None,
    x_git_hub_event: str | None,
) -> Reply:
    """Store a verified delivery once, and wake the job that works on it."""
    delivery_id = {
        "linear": linear_delivery,
        "vercel": body.get("id") if isinstance(body.get("id"), str) else None,
    }.get(provider, x_git_hub_delivery)
    delivery = ingestion.Delivery(
        provider, user.verified_by, user.body, body, delivery_id, x_git_hub_event
    )
    async with database.transaction() as db:
        stored = await ingestion.ingest(db, delivery)
    if stored is None:
        return {"ok": True, "duplicate": True}, 200
    await nudges.try_nudge(nudges.EVENTS)
    return {"ok": True, "eventId": stored.event_id, "correlationId": stored.correlation_id}, 200
