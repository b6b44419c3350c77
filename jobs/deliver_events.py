"""Webhook events become work."""

import logging
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

MOST_TRIES: Final = 8
"""After the eighth failure, some six to nine minutes after the first, an event is dead."""

_log = logging.getLogger(__name__)


async def deliver_events() -> int:
    """Work on every event that is due, one transaction each; returns how many."""
    count = 0
    while await _deliver_one():
        count += 1
    if count:
        await nudges.try_nudge(nudges.OUTBOX)
    return count


async def _deliver_one() -> bool:
    """Work on the next event; what follows from it commits together with its end, or not at all."""
    row = owner = None
    try:
        async with database.transaction() as db:
            row = await webhook_events.next_due(db)
            if row is None:
                return False
            owner = await owner_of(db, row.provider, row.body, row.verified_by)
            await _work_on(db, row, owner)
        if isinstance(owner, Owner):
            await nudges.try_nudge(nudges.work(owner.org_id, owner.project_id))
            await nudges.try_nudge(nudges.PARKED)
    except Unavailable:
        raise
    except Exception as error:
        if row is None:
            raise
        _log.exception("event %s failed; it is tried again", row.id)
        org_id = owner.org_id if isinstance(owner, Owner) else None
        async with database.transaction() as db:
            reason = type(error).__name__
            await webhook_events.put_off(db, row.id, MOST_TRIES, reason, org_id)
    return True


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
