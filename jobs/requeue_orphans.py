"""Sessions whose lease has ended go back to the queue, with a packet for their next worker."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

import settings
from persistence import database, leases
from persistence.ephemeral import nudges, session_news
from persistence.recovery import Interrupted
from services import recovery, tracker


async def requeue_orphans() -> int:
    """End every lease that is over; returns how many.

    What a lease leaves behind commits together with its end, so that a crash leaves both or none.
    """
    now = settings.current()
    count = len(await leases.free_stopped(now.lease_seconds, now.gap_seconds))
    while True:
        async with database.transaction() as db:
            ended = await leases.end_leases(db, now.lease_seconds, now.gap_seconds)
            await _leave_behind(db, ended)
        await _tell(ended)
        count += len(ended)
        if len(ended) < leases.MOST_AT_ONCE:
            return count


async def _leave_behind(db: AsyncConnection, ended: Sequence[Any]) -> None:
    """Keep what the next worker needs, and close in the tracker what has no next worker."""
    interrupted = [
        Interrupted(each.org_id, each.id, each.worker_id, each.lost_status) for each in ended
    ]
    await recovery.keep(db, interrupted, recovery.LEASE_ENDED)
    for session in ended:
        if session.status == "failed":
            await tracker.close(db, session)


async def _tell(ended: Sequence[Any]) -> None:
    for session in ended:
        session_news.tell_surely(session.org_id, session.id)
    for channel in {nudges.work(each.org_id, each.project_id) for each in ended}:
        await nudges.try_nudge(channel)
    if any(session.status == "failed" for session in ended):
        await nudges.try_nudge(nudges.PARKED)
        await nudges.try_nudge(nudges.OUTBOX)
