"""Nudges that a session has something new, for the streams that show it.

Whoever listens also looks on a timer, so a nudge that is lost costs time and nothing else. A
process has one subscription, however many sessions its streams show.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from persistence.ephemeral import store

CHANGES_SECONDS: Final = 0.25
"""How soon the subscription follows what is wanted."""

AGAIN_SECONDS: Final = 1.0
ASKED_SECONDS: Final = 1.0
NEWS: Final = "rensei:news:"

_due: set[str] = set()
_listened_to: frozenset[str] = frozenset()
_asked_at = float("-inf")
_telling: asyncio.Task[None] | None = None


def channel(org_id: str, session_id: str) -> str:
    """Where the news of a session are told."""
    return f"{NEWS}{{{org_id}}}:{session_id}"


def frames_channel(org_id: str, session_id: str) -> str:
    """Where it is told that the agent of an interview has said something."""
    return f"{NEWS}frames:{{{org_id}}}:{session_id}"


def org_channel(org_id: str) -> str:
    """Where it is told that the status of any session of an organization has changed."""
    return f"{NEWS}org:{{{org_id}}}"


def tell_soon(org_id: str, session_id: str, where: Callable[[str, str], str] = channel) -> None:
    """Say that a session has something new, beside the answer that is under way.

    At most one PUBLISH, and none for a session that nobody follows: who is listened to is asked
    once a second at the most. Where Redis is away, nobody is told.
    """
    name = where(org_id, session_id)
    if name in _listened_to:
        _due.add(name)
        _start()
    elif _asked_at + ASKED_SECONDS <= time.monotonic():
        _start()


def tell_surely(org_id: str, session_id: str) -> None:
    """The same for what is rare, such as a new status: one PUBLISH, whoever listens, and another
    where somebody follows the whole organization."""
    if store.current() is not None:
        _due.add(channel(org_id, session_id))
        if (everybody := org_channel(org_id)) in _listened_to:
            _due.add(everybody)
        _start()


def _start() -> None:
    global _telling
    if store.current() is not None and (_telling is None or _telling.done()):
        _telling = asyncio.create_task(_tell())


async def _tell() -> None:
    global _listened_to, _asked_at
    redis = store.current()
    if redis is None:
        return
    try:
        if _asked_at + ASKED_SECONDS <= time.monotonic():
            _asked_at = time.monotonic()
            _listened_to = frozenset(map(str, await redis.pubsub_channels(f"{NEWS}*")))
        while _due:
            # What comes while these are sent goes with the next round trip.
            async with redis.pipeline(transaction=False) as pipe:
                while _due:
                    pipe.publish(_due.pop(), "")
                await pipe.execute()
    except store.AWAY:
        _listened_to = frozenset()
        _due.clear()


async def settle() -> None:
    """Wait until what was to be told has been."""
    if _telling is not None:
        await asyncio.gather(_telling, return_exceptions=True)


class Ear:
    """Hears the channels that are wanted, and calls `heard` with the name of each that speaks."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self.wanted: set[str] = set()
        self._heard = heard

    async def listen(self) -> None:
        """Listen until cancelled, and again whenever Redis has come back."""
        while True:
            redis = store.current()
            if redis is not None:
                try:
                    async with redis.pubsub() as ear:
                        await self._hear(ear)
                except store.AWAY:
                    pass
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hear(self, ear: Any) -> None:
        heard_now: set[str] = set()
        follow_at = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            if clock() >= follow_at:
                # As it is now: it may change while Redis is asked.
                wanted = set(self.wanted)
                if added := wanted - heard_now:
                    await ear.subscribe(*added)
                if dropped := heard_now - wanted:
                    await ear.unsubscribe(*dropped)
                heard_now = wanted
                follow_at = clock() + CHANGES_SECONDS
            if not heard_now:
                await asyncio.sleep(CHANGES_SECONDS)
                continue
            message = await ear.get_message(timeout=CHANGES_SECONDS)
            if message is not None and message["type"] == "message":
                self._heard(message["channel"])
