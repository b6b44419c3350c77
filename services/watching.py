"""What long answers wait for: a nudge over Redis, and a look on a timer that finds what none told.

One `Watch` serves all streams of one kind in a process: one subscription, one look for them
together, and neither while there is no stream.
"""

import asyncio
import itertools
import logging
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, TypeVar

from domain.errors import Unavailable
from persistence.ephemeral import session_news
from services import tasks

LOOK_SECONDS: Final = 1.0
LAST_WORD_SECONDS: Final = 0.5
"""How long a stream that is to end may take over its last bytes."""

_log = logging.getLogger(__name__)
_count = itertools.count(1)


class Watcher:
    """One stream's interest in something."""

    def __init__(self) -> None:
        # The same for watchers that were woken together and not since.
        self.news_number = next(_count)
        self._news = asyncio.Event()

    async def wait(self, at_most_seconds: float) -> bool:
        """Whether there may be news, at the next news or when the time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._news.wait()
        there_are = self._news.is_set()
        self._news.clear()
        return there_are

    def wake(self, news_number: int | None = None) -> None:
        """Say that there may be news."""
        self.news_number = next(_count) if news_number is None else news_number
        self._news.set()


def wake(watchers: Iterable[Watcher]) -> None:
    """Say to several together that there may be news."""
    number = next(_count)
    for watcher in watchers:
        watcher.wake(number)


W = TypeVar("W", bound=Watcher)


class Watch(Generic[W]):
    """All watchers of one kind in one process, by the channel that tells of what they watch."""

    def __init__(self) -> None:
        self.ending = False
        # Done when streams that are to end have had time for it.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers: dict[str, set[W]] = {}
        self._ear = session_news.Ear(self.heard)
        self._tasks: list[asyncio.Task[None]] = []
        self._resting: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()

    @contextmanager
    def attending(self, name: str, watcher: W) -> Iterator[W]:
        """Have a watcher watch what a channel tells of, while the block runs."""
        self._watchers.setdefault(name, set()).add(watcher)
        self._ear.wanted.add(name)
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._ear.listen()),
                asyncio.create_task(self._keep_looking()),
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
            wake(self.everyone())
            asyncio.get_running_loop().call_later(LAST_WORD_SECONDS, self._cut)

    async def close(self) -> None:
        """End, and wait until nothing of it runs."""
        self.ending = True
        self._cut()
        self._rest()
        if self._resting is not None:
            await self._resting

    def everyone(self) -> list[W]:
        """All watchers there are."""
        return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def heard(self, name: str) -> None:
        """A channel spoke: whoever listens to it may have news."""
        wake(self._watchers.get(name, ()))

    def look_soon(self) -> None:
        """Have the next look taken now."""
        self._soon.set()

    async def look(self) -> None:
        """Find out for all watchers together who has news, and wake them."""
        raise NotImplementedError

    async def leave(self) -> None:
        """What is to be done when the last watcher has gone."""

    def _cut(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _rest(self) -> None:
        if self._tasks:
            running, self._tasks = self._tasks, []
            self._resting = asyncio.create_task(self._put_to_rest(running))

    async def _put_to_rest(self, running: list[asyncio.Task[None]]) -> None:
        await tasks.end(*running)
        if not self._tasks:
            await self.carefully(self.leave())

    async def _keep_looking(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._soon.wait()
            self._soon.clear()
            await self.carefully(self.look())

    async def carefully(self, step: Coroutine[Any, Any, None]) -> None:
        """Take a step that may fail without harm, since it is taken again."""
        try:
            await step
        except Unavailable:
            pass
        except Exception:
            _log.exception("a look at what streams wait for failed; it is taken again")
