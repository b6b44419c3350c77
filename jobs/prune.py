"""What is past its time goes, a little of each kind at a time.

docs/decisions/0033-what-is-kept-how-long.md has the table of what is kept, and why.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import settings
from domain.errors import Unavailable
from persistence import (
    activities,
    browser_sessions,
    handover,
    idempotency,
    interview_frames,
    outbox,
    session_events,
    webhook_events,
)

PAUSE_SECONDS: Final = 0.02
"""Between two rounds, so that a backlog of months leaves the database to everybody else."""

Batch = Callable[[], Awaitable[int]]


async def prune() -> int:
    """Remove all that is past its time; returns how many rows that were; of sessions and
    of turns of interviews it counts those that lost something.

    Each batch is one statement: it is done as a whole or not at all, and two processes at once take
    different rows. The kinds take turns, so that none waits for another's backlog, and one that
    fails keeps none of the others from going.
    """
    count, errors = 0, []
    left = _kinds(settings.current())
    while left:
        went_on = []
        for batch in left:
            try:
                gone = await batch()
            except Unavailable:
                raise
            except Exception as error:
                errors.append(error)
                continue
            if gone:
                count += gone
                went_on.append(batch)
        left = went_on
        if left:
            await asyncio.sleep(PAUSE_SECONDS)
    if errors:
        raise ExceptionGroup("some kinds were not pruned", errors)
    return count


def _kinds(now: settings.Settings) -> list[Batch]:
    """One batch of each kind; who calls it again gets the next one, until it is 0."""
    return [
        partial(webhook_events.prune, now.webhooks_kept_seconds, now.trouble_kept_seconds),
        partial(outbox.prune, now.sent_kept_seconds, now.trouble_kept_seconds),
        partial(activities.prune, now.activities_kept_seconds),
        partial(session_events.prune, now.events_kept_seconds),
        partial(interview_frames.prune, now.frames_kept_seconds),
        idempotency.prune,
        handover.prune_nacks,
        browser_sessions.prune,
    ]
