"""Webhook events become work."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Unavailable
from domain.linear_events import Unreadable
from jobs.processors import PROCESSORS
from jobs.processors.event import Event
from persistence import database, webhook_events
from persistence.ephemeral import nudges
from services.envelopes import envelope
from services.event_owners import Nobody, Owner, owner_of

AT_ONCE: Final = 4
"""Each holds a connection, and takes a second one for a moment."""
LOOK_SECONDS: Final = 1.0
"""How long what has just come in waits at most while the events at work are slow."""
MOST_TRIES: Final = 8
"""After the eighth failure, some six to nine minutes after the first, an event is dead."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that nobody else works on, until its transaction ends."""

    row: Row[Any]
    db: AsyncConnection
    transaction: AsyncExitStack


async def deliver_events() -> int:
    """Work on every event that is due, a few at once; returns how many.

    They are taken one after the other, from one sender after the other.
    """
    count, sender = 0, ""
    at_work: dict[asyncio.Task[None], str] = {}  # and the line of each
    try:
        while True:
            taken = None
            if len(at_work) < AT_ONCE:
                taken = await _take(sender, at_work.values())
            if taken is not None:
                sender = taken.row.sender
                at_work[asyncio.create_task(_deliver(taken))] = taken.row.line
                continue
            if not at_work:
                break
            done, _ = await asyncio.wait(
                at_work, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                del at_work[each]
                each.result()
            count += len(done)
    finally:
        # One that has not begun would not give its transaction back.
        await asyncio.sleep(0)
        for each in at_work:
            each.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)
        if count:
            await nudges.try_nudge(nudges.PARKED)
            await nudges.try_nudge(nudges.OUTBOX)
    return count


async def _take(last_sender: str, busy: Collection[str]) -> Taken | None:
    """Hold the next event, in a transaction that is left open; None when there is none."""
    async with AsyncExitStack() as transaction:
        db = await transaction.enter_async_context(database.transaction())
        row = await webhook_events.next_due(db, last_sender, busy)
        if row is not None:
            return Taken(row, db, transaction.pop_all())
    return None


async def _deliver(taken: Taken) -> None:
    """Work on an event; what follows from it commits together with its end, or not at all."""
    row, db, owner = taken.row, taken.db, None
    try:
        async with taken.transaction:
            owner = await owner_of(db, row.provider, row.body, row.verified_by)
            await _work_on(db, row, owner)
        if isinstance(owner, Owner):
            await nudges.try_nudge(nudges.work(owner.org_id, owner.project_id))
    except Unavailable:
        raise
    except Exception as error:
        if database.is_collision(error.__cause__ or error):
            return  # nothing has happened, and it is the first of its line still
        _log.exception("event %s failed; it is tried again", row.id)
        org_id = owner.org_id if isinstance(owner, Owner) else None
        async with database.transaction() as own:
            reason = type(error).__name__
            await webhook_events.put_off(own, row.id, MOST_TRIES, reason, org_id)


async def _work_on(db: AsyncConnection, row: Row[Any], owner: Owner | Nobody) -> None:
    """Do what follows from an event and close it."""
    if isinstance(owner, Nobody):
        await webhook_events.settle(db, row.id, "parked", owner.reason, row.org_id)
        return
    event = Event(envelope(row, owner.org_id, owner.project_id), owner.org_id, owner.project_id)
    process = PROCESSORS.get(event.envelope.about.type)
    status, outcome = "done", "nothing is to follow from this kind of event"
    if process is not None:
        try:
            outcome = await process(db, event)
        except Unreadable as error:
            status, outcome = "dead", str(error)
    await webhook_events.settle(db, row.id, status, outcome, owner.org_id)
