"""Notices what becomes new in the sessions that the streams of this process show.

A nudge over Redis tells of it at once. A look at all watched sessions together, once a second,
finds what no nudge told of, whoever changed it, with Redis or without. Both serve every stream of
the process, and without a stream there is neither.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Unavailable
from persistence.ephemeral import session_news
from services import tasks

LOOK_SECONDS: Final = 1.0
LAST_WORD_SECONDS: Final = 0.5
"""How long a stream that is to end may take over its last bytes."""

_log = logging.getLogger(__name__)

_count = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kind:
    """What streams show of a session: the channel that tells of it, and the look that finds, among
    some watchers, those for which there is something new."""

    channel: Callable[[str, str], str]
    changed: "Callable[[Sequence[Watcher]], Awaitable[Iterable[Watcher]]]"


class Watcher:
    """One stream's interest in one session. `seen` is what the stream has shown of it, in the words
    of its kind."""

    def __init__(self, kind: Kind, org_id: str, session_id: str) -> None:
        self.kind = kind
        self.key = (org_id, session_id)
        self.seen: Any = None
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

    def wake(self, news_number: int) -> None:
        """Say that there may be news."""
        self.news_number = news_number
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
    def watching(self, kind: Kind, org_id: str, session_id: str) -> Iterator[Watcher]:
        """Watch a session while the block runs."""
        watcher = Watcher(kind, org_id, session_id)
        name = kind.channel(org_id, session_id)
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
            _wake(self._all())
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
        _wake(self._watchers.get(name, ()))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            by_kind: dict[Kind, list[Watcher]] = {}
            for watcher in self._all():
                by_kind.setdefault(watcher.kind, []).append(watcher)
            for kind, watchers in by_kind.items():
                try:
                    _wake(await kind.changed(watchers))
                except Unavailable:
                    continue
                except Exception:
                    _log.exception("the look at watched sessions failed; it is taken again")


def _wake(watchers: Iterable[Watcher]) -> None:
    number = next(_count)
    for watcher in watchers:
        watcher.wake(number)


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
