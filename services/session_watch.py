"""Notices what becomes new in the sessions that the streams of this process show.

A nudge over Redis tells of an activity at once. A look at all watched sessions together, once a
second, finds what no nudge told of, whoever changed it, with Redis or without. Both serve every
stream of the process, and without a stream there is neither.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from domain.errors import Unavailable
from persistence import session_activities
from persistence.ephemeral import session_news
from services import tasks

LOOK_SECONDS: Final = 1.0
LAST_WORD_SECONDS: Final = 0.5
"""How long a stream that is to end may take over its last bytes."""

_log = logging.getLogger(__name__)


class Watcher:
    """One stream's interest in one session, and what the stream has shown of it."""

    def __init__(self, org_id: str, session_id: str) -> None:
        self.key = (org_id, session_id)
        self.shown = 0
        self.status = ""
        self._news = asyncio.Event()

    async def wait(self, at_most_seconds: float) -> bool:
        """Whether there may be news, at the next news or when the time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._news.wait()
        there_are = self._news.is_set()
        self._news.clear()
        return there_are

    def wake(self) -> None:
        """Say that there may be news."""
        self._news.set()


class Watch:
    """All watchers of one process."""

    def __init__(self) -> None:
        self.ending = False
        # Done when streams that are to end have had time for it.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers: dict[str, set[Watcher]] = {}
        self._ear = session_news.Ear(self._heard)
        self._tasks: list[asyncio.Task[None]] = []
        self._resting: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, org_id: str, session_id: str) -> Iterator[Watcher]:
        """Watch a session while the block runs."""
        watcher = Watcher(org_id, session_id)
        name = session_news.channel(org_id, session_id)
        self._watchers.setdefault(name, set()).add(watcher)
        self._ear.wanted.add(name)
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._ear.listen()),
                asyncio.create_task(self._look()),
            ]
        try:
            yield watcher
        finally:
            self._watchers[name].discard(watcher)
            if not self._watchers[name]:
                del self._watchers[name]
                self._ear.wanted.discard(name)
            if not self._watchers:
                self._rest()

    def end(self) -> None:
        """Let every stream end: at once where it can, cut off where its client does not read."""
        if not self.ending:
            self.ending = True
            for watcher in self._all():
                watcher.wake()
            asyncio.get_running_loop().call_later(LAST_WORD_SECONDS, self._cut)

    async def close(self) -> None:
        """End, and wait until nothing of it runs."""
        self.ending = True
        self._cut()
        self._rest()
        if self._resting is not None:
            await self._resting

    def _cut(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _rest(self) -> None:
        if self._tasks:
            running, self._tasks = self._tasks, []
            self._resting = asyncio.create_task(tasks.end(*running))

    def _all(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def _heard(self, name: str) -> None:
        for watcher in self._watchers.get(name, ()):
            watcher.wake()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._compare()
            except Unavailable:
                continue
            except Exception:
                _log.exception("the look at watched sessions failed; it is taken again")

    async def _compare(self) -> None:
        keys = [next(iter(watchers)).key for watchers in self._watchers.values()]
        for row in await session_activities.standing(keys):
            for watcher in self._watchers.get(session_news.channel(row.org_id, row.id), ()):
                if (watcher.shown, watcher.status) != (row.activity_count, row.status):
                    watcher.wake()


_watch: Watch | None = None


def open_watch() -> Watch:
    """Make the watch of this process, from the event loop that will use it."""
    global _watch
    _watch = Watch()
    return _watch


def current() -> Watch:
    """The watch of this process; `open_watch` comes first."""
    if _watch is None:
        raise RuntimeError("no watch: call services.session_watch.open_watch() at start-up")
    return _watch
