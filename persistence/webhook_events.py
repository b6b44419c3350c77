"""Webhook events: the durable inbox between a provider's delivery and what follows from it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.paging import Page, page
from persistence.tables import webhook_deliveries, webhook_events

WAITING: Final = ("received", "failed")

# An event may be worked on when it is due and nothing of its line waits before it. One that is at
# work is locked and still waits, so it is passed over, and its line stands still meanwhile. Lines
# that the asker itself works on are named: to look behind one of them, row by row, costs.
_MAY = """
select e.* from webhook_events e
 where e.status in ('received', 'failed') and e.next_try_at <= now()
   and (e.line = '' or e.line <> all (%(busy)s) and not exists (
     select 1 from webhook_events b
      where b.provider = e.provider and b.verified_by = e.verified_by and b.line = e.line
        and b.position < e.position and b.status in ('received', 'failed')))
"""
_FIRST = "order by e.sender, e.position limit 1 for update of e skip locked"

# The oldest event of the next sender that has one: those behind the last one served come first.
NEXT_DUE: Final = f"""
with ahead as ({_MAY} and e.sender > %(last)s {_FIRST}),
again as ({_MAY} and e.sender <= %(last)s and not exists (select from ahead) {_FIRST})
select * from ahead union all select * from again
"""

SETTLE: Final = """
update webhook_events
   set status = %(status)s, outcome = %(outcome)s, org_id = %(org)s, done_at = now(),
       attempts = attempts + 1
 where id = %(id)s
"""

MOST_PRUNED: Final = 500
"""Of each status; a body may be large."""

# A replay takes the status and the time away from an event, so whichever comes first decides. By
# their ids from an array, so that they are looked up however large the table is thought to be.
PRUNE: Final = f"""
with old as (
  select e.id
    from (values ('done', %(done)s::float8), ('dead', %(trouble)s), ('parked', %(trouble)s))
         as kept (status, seconds)
   cross join lateral (
     select id from webhook_events
      where status = kept.status and done_at < now() - make_interval(secs => kept.seconds)
      order by done_at
      limit {MOST_PRUNED}
        for update skip locked) e
), gone as (
  delete from webhook_events where id = any (array(select id from old)) returning 1
)
select count(*) as count from gone
"""

SHOWN: Final = tuple(column for column in webhook_events.c if column.key != "body")


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


async def next_due(db: AsyncConnection, last_sender: str, busy: Collection[str]) -> Row[Any] | None:
    """Hold the next event to work on; None when there is nothing that one may work on now.

    Senders take turns: `last_sender` is the one whose event was taken before. `busy` are lines of
    which the caller holds an event.
    """
    found = await db.exec_driver_sql(NEXT_DUE, {"last": last_sender, "busy": list(busy)})
    return found.one_or_none()


async def settle(
    db: AsyncConnection, event_id: str, status: str, outcome: str, org_id: str | None
) -> None:
    """Close an event as `done`, `parked` or `dead`, and say what came of it."""
    await db.exec_driver_sql(
        SETTLE, {"id": event_id, "status": status, "outcome": outcome, "org": org_id}
    )


async def put_off(
    db: AsyncConnection, event_id: str, most_tries: int, outcome: str, org_id: str | None
) -> None:
    """Try an event again later, each time after about twice as long; `dead` after `most_tries`.

    By chance between once and one and a half times the pause, so that what failed together is not
    tried again together.
    """
    tries = webhook_events.c.attempts + 1
    pause = func.power(2, tries) * (1 + func.random() / 2)
    await db.execute(
        update(webhook_events)
        .where(webhook_events.c.id == event_id)
        .values(
            attempts=tries,
            outcome=outcome,
            org_id=func.coalesce(org_id, webhook_events.c.org_id),
            status=case((tries >= most_tries, "dead"), else_="failed"),
            done_at=case((tries >= most_tries, func.now())),
            next_try_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause),
        )
    )


async def list_page(
    db: AsyncConnection,
    org_id: str | None,
    status: str | None,
    provider: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """A page of one organization's events, or of everybody's when `org_id` is None."""
    query = select(*SHOWN)
    if org_id is not None:
        query = query.where(webhook_events.c.org_id == org_id)
    if status == "processing":
        query = query.where(webhook_events.c.status.in_(WAITING))
    elif status is not None:
        query = query.where(webhook_events.c.status == status)
    if provider is not None:
        query = query.where(webhook_events.c.provider == provider)
    return await page(db, query, webhook_events.c.received_at, webhook_events.c.id, limit, cursor)


async def held(db: AsyncConnection, event_ids: Sequence[str]) -> set[str]:
    """Which of these waiting events somebody works on now: those whose row is locked."""
    free = await db.scalars(
        select(webhook_events.c.id)
        .where(webhook_events.c.id.in_(event_ids), webhook_events.c.status.in_(WAITING))
        .with_for_update(skip_locked=True, key_share=True)
    )
    return set(event_ids) - set(free)


async def find(db: AsyncConnection, org_id: str | None, event_id: str) -> Row[Any] | None:
    """One event with its body; of any organization, or none, when `org_id` is None."""
    query = select(webhook_events).where(webhook_events.c.id == event_id)
    if org_id is not None:
        query = query.where(webhook_events.c.org_id == org_id)
    return (await db.execute(query)).one_or_none()


async def replay(db: AsyncConnection, org_id: str | None, event_id: str) -> Row[Any] | None:
    """Put an event that failed, died or was parked back to the front of its line; else None."""
    query = update(webhook_events).where(
        webhook_events.c.id == event_id, webhook_events.c.status.in_(("failed", "dead", "parked"))
    )
    if org_id is not None:
        query = query.where(webhook_events.c.org_id == org_id)
    return (
        await db.execute(
            query.values(
                status="received", attempts=0, next_try_at=func.now(), done_at=None, outcome=None
            ).returning(*SHOWN)
        )
    ).one_or_none()


async def prune(done_seconds: float, trouble_seconds: float) -> int:
    """Remove some of what was settled longer ago, as `done`, or as `dead` or `parked`; returns how
    many there were. What marks their deliveries stays, so that none comes in again."""
    (row,) = await database.hot(PRUNE, {"done": done_seconds, "trouble": trouble_seconds})
    return int(row.count)
