"""Webhook events become work."""

import logging
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.webhook_signatures import claimed_workspaces
from domain.errors import Unavailable
from domain.linear_events import Unreadable
from jobs.processors import PROCESSORS
from jobs.processors.event import Event
from persistence import database, webhook_events, workspaces
from persistence.ephemeral import nudges
from services.envelopes import envelope

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
    row = mapping = None
    try:
        async with database.transaction() as db:
            row = await webhook_events.next_due(db)
            if row is None:
                return False
            mapping = await _owner(db, row)
            await _work_on(db, row, mapping)
        if mapping is not None:
            await nudges.try_nudge(nudges.work(mapping.org_id, mapping.project_id))
            await nudges.try_nudge(nudges.PARKED)
    except Unavailable:
        raise
    except Exception as error:
        if row is None:
            raise
        _log.exception("event %s failed; it is tried again", row.id)
        org_id = None if mapping is None else mapping.org_id
        async with database.transaction() as db:
            reason = type(error).__name__
            await webhook_events.put_off(db, row.id, MOST_TRIES, reason, org_id)
    return True


async def _owner(db: AsyncConnection, row: Row[Any]) -> Row[Any] | None:
    """The mapping of the workspace that an event names; None when it is mapped to nobody."""
    claimed = claimed_workspaces(row.provider, row.body)
    return await workspaces.owner(db, row.provider, claimed, row.verified_by)


async def _work_on(db: AsyncConnection, row: Row[Any], mapping: Row[Any] | None) -> None:
    """Do what follows from an event and close it."""
    if mapping is None:
        outcome = "its workspace is mapped to nobody"
        await webhook_events.settle(db, row.id, "parked", outcome, row.org_id)
        return
    event = Event(
        envelope(row, mapping.org_id, mapping.project_id), mapping.org_id, mapping.project_id
    )
    process = PROCESSORS.get(event.envelope.about.type)
    status, outcome = "done", "nothing is to follow from this kind of event"
    if process is not None:
        try:
            outcome = await process(db, event)
        except Unreadable as error:
            status, outcome = "dead", str(error)
    await webhook_events.settle(db, row.id, status, outcome, mapping.org_id)
