"""Nudges: "there may be something to do", without saying what.

Whoever listens also looks on a timer, so a nudge that is lost costs time and nothing else.
"""

import asyncio
from typing import Final

from persistence.ephemeral import store

EVENTS: Final = "rensei:nudge:events"
PARKED: Final = "rensei:nudge:parked"
OUTBOX: Final = "rensei:nudge:outbox"
DISPATCHES: Final = "rensei:nudge:dispatches"


def work(org_id: str, project_id: str) -> str:
    """The channel on which polls of a project wait for work and messages."""
    return f"rensei:nudge:work:{{{org_id}}}:{project_id}"


def credentials(org_id: str) -> str:
    """The channel on which streams of an organization wait for a rotation."""
    return f"rensei:nudge:credentials:{{{org_id}}}"


async def try_nudge(channel: str) -> None:
    """Wake whoever listens, if Redis is there."""
    redis = store.current()
    if redis is not None:
        try:
            await redis.publish(channel, "")
        except store.AWAY:
            return


async def wait(channel: str, at_most_seconds: float) -> None:
    """Return at the next nudge, or when the time has passed, whichever is first."""
    redis = store.current()
    if redis is None:
        await asyncio.sleep(at_most_seconds)
        return
    try:
        async with asyncio.timeout(at_most_seconds):
            async with redis.pubsub() as ear:
                await ear.subscribe(channel)
                async for message in ear.listen():
                    if message["type"] == "message":
                        return
    except TimeoutError:
        return
    except store.AWAY:
        # Without Redis the timer alone drives the job, a little faster than a full round.
        await asyncio.sleep(min(at_most_seconds, 0.5))
