"""Polls that wait for work: rung through Redis, and looked after by a timer without it.

A process has one subscription for all its waiting polls, and none while no poll waits.
"""

import asyncio
from contextlib import suppress
from typing import Final

from persistence.ephemeral import nudges, session_news

LOOK_SECONDS: Final = 1.0
"""How long a waiting poll sleeps before it looks again, rung or not."""


class Bell:
    """All waiting polls of one process."""

    def __init__(self) -> None:
        self.ending = False
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._ear = session_news.Ear(self._ring)
        self._listening: asyncio.Task[None] | None = None

    async def wait(self, org_id: str, project_id: str, at_most_seconds: float) -> None:
        """Return when a project may have work, after a second, or when the time has passed."""
        name = nudges.work(org_id, project_id)
        rung = asyncio.Event()
        if self.ending:
            return
        self._waiting.setdefault(name, set()).add(rung)
        self._ear.wanted.add(name)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._ear.listen())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(at_most_seconds, LOOK_SECONDS)):
                    await rung.wait()
        finally:
            self._waiting[name].discard(rung)

    def end(self) -> None:
        """Let every waiting poll answer now: the process is told to end."""
        self.ending = True
        for name in self._waiting:
            self._ring(name)

    async def close(self) -> None:
        self.end()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def _ring(self, name: str) -> None:
        for rung in self._waiting.get(name, ()):
            rung.set()


_bell: Bell | None = None


def open_bell() -> Bell:
    """Make the bell of this process, from the event loop that will use it."""
    global _bell
    _bell = Bell()
    return _bell


def current() -> Bell:
    """The bell of this process; `open_bell` comes first."""
    if _bell is None:
        raise RuntimeError("no bell: call services.work_bell.open_bell() at start-up")
    return _bell
