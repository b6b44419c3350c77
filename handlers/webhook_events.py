"""What the providers have sent, for people: seen, and worked on again."""

from collections.abc import Collection
from typing import Any

from domain.errors import Conflict, NotFound
from domain.principal import Kind, Principal
from domain.times import iso, iso_or_none
from handlers.replies import Reply
from persistence import audit, database, webhook_events
from persistence.ephemeral import nudges
from services.envelopes import envelope

MOST_SHOWN_BYTES = 65_536


async def list_webhook_events(
    user: Principal, status: str | None, provider: str | None, limit: int, cursor: str | None
) -> Reply:
    """List the events of the caller's workspaces, or all of them for the system."""
    async with database.transaction() as db:
        page = await webhook_events.list_page(db, _whose(user), status, provider, limit, cursor)
        waiting = [row.id for row in page.rows if row.status in webhook_events.WAITING]
        held = await webhook_events.held(db, waiting) if waiting else set()
    shown = [_event(row, held) for row in page.rows]
    if status is not None:
        shown = [each for each in shown if each["status"] == status]
    return {"events": shown, "nextCursor": page.next_cursor}, 200


async def get_webhook_event(event_id: str, user: Principal) -> Reply:
    """Read an event with its envelope."""
    async with database.transaction() as db:
        row = await webhook_events.find(db, _whose(user), event_id)
        if row is None:
            raise NotFound("Event not found")
        held = await webhook_events.held(db, [row.id]) if _waits(row) else set()
    whole = envelope(row, row.org_id, None)
    data = {"data": whole.data} if len(row.body) <= MOST_SHOWN_BYTES else {}
    return {"event": _event(row, held), "envelope": {**whole.attributes(), **data}}, 200


async def replay_webhook_event(event_id: str, user: Principal) -> Reply:
    """Put an event that came to nothing back into its line."""
    async with database.transaction() as db:
        row = await webhook_events.replay(db, _whose(user), event_id)
        if row is None:
            known = await webhook_events.find(db, _whose(user), event_id)
            if known is None:
                raise NotFound("Event not found")
            raise Conflict(
                f"The event is {known.status}; only one that failed, died or was parked is replayed"
            )
        await audit.append(
            db, row.org_id, user, "webhook.replayed", ("webhook_event", event_id), {}
        )
    await nudges.try_nudge(nudges.EVENTS)
    return {"event": _event(row)}, 200


def _whose(user: Principal) -> str | None:
    """The organization whose events the caller sees; None: everybody's."""
    return None if user.kind is Kind.SYSTEM else str(user.org_id)


def _waits(row: Any) -> bool:
    return row.status in webhook_events.WAITING


def _event(row: Any, held: Collection[str] = ()) -> dict[str, Any]:
    return {
        "id": row.id,
        "provider": row.provider,
        "type": row.type,
        "status": "processing" if row.id in held else row.status,
        "attempts": row.attempts,
        "outcome": row.outcome,
        "orgId": row.org_id,
        "deliveryId": row.delivery_id,
        "correlationId": row.correlation_id,
        "receivedAt": iso(row.received_at),
        "nextTryAt": iso(row.next_try_at) if _waits(row) else None,
        "doneAt": iso_or_none(row.done_at),
    }
