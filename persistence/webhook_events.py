"""Webhook events: the durable inbox between a provider's delivery and what follows from it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import webhook_deliveries, webhook_events


async def is_new(
    db: AsyncConnection,
    provider: str,
    verified_by: str,
    event_id: str,
    marks: Mapping[str, str],
) -> bool:
    """Note what marks a delivery (its id, its body's hash); False when any of it is known.

    Two equal deliveries at once wait for each other here.
    """
    rows = [
        {
            "provider": provider,
            "verified_by": verified_by,
            "kind": kind,
            "value": value,
            "event_id": event_id,
        }
        for kind, value in sorted(marks.items())
    ]
    noted = await db.execute(
        upsert(webhook_deliveries)
        .values(rows)
        .on_conflict_do_nothing()
        .returning(webhook_deliveries.c.kind)
    )
    return len(noted.all()) == len(rows)


async def store(db: AsyncConnection, values: Mapping[str, Any]) -> None:
    await db.execute(insert(webhook_events).values(**values))


async def next_due(db: AsyncConnection) -> Row[Any] | None:
    """Hold the oldest event that is due and that no other process holds; None when all is done."""
    return (
        await db.execute(
            select(webhook_events)
            .where(
                webhook_events.c.status == "received",
                webhook_events.c.next_try_at <= func.now(),
            )
            .order_by(webhook_events.c.next_try_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()


async def settle(
    db: AsyncConnection, event_id: str, status: str, outcome: str, org_id: str | None
) -> None:
    """Close an event as `done`, `parked` or `dead`, and say what came of it."""
    await db.execute(
        update(webhook_events)
        .where(webhook_events.c.id == event_id)
        .values(
            status=status,
            outcome=outcome,
            org_id=org_id,
            done_at=func.now(),
            attempts=webhook_events.c.attempts + 1,
        )
    )


async def put_off(db: AsyncConnection, event_id: str, most_tries: int, outcome: str) -> None:
    """Try an event again later, each time after twice as long; `dead` after `most_tries`."""
    tries = webhook_events.c.attempts + 1
    await db.execute(
        update(webhook_events)
        .where(webhook_events.c.id == event_id)
        .values(
            attempts=tries,
            outcome=outcome,
            status=case((tries >= most_tries, "dead"), else_="received"),
            next_try_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, func.power(2, tries)),
        )
    )
