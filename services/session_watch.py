"""Notices what becomes new in the sessions that the streams of this process show.

A nudge over Redis tells of it at once. A look at all watched sessions together, once a second,
finds what no nudge told of, whoever changed it, with Redis or without. Both serve every stream of
the process, and without a stream there is neither.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from services import watching


@dataclass(frozen=True, slots=True)
class Kind:
    """What streams show of a session: the channel that tells of it, and the look that finds, among
    some watchers, those for which there is something new."""

    channel: Callable[[str, str], str]
    changed: "Callable[[Sequence[Watcher]], Awaitable[Iterable[Watcher]]]"


class Watcher(watching.Watcher):
    """One stream's interest in one session. `seen` is what the stream has shown of it, in the words
    of its kind."""

    def __init__(self, kind: Kind, org_id: str, session_id: str) -> None:
        super().__init__()
        self.kind = kind
        self.key = (org_id, session_id)
        self.seen: Any = None


class Watch(watching.Watch[Watcher]):
    """All watchers of one process."""

    @contextmanager
    def watching(self, kind: Kind, org_id: str, session_id: str) -> Iterator[Watcher]:
        """Watch a session while the block runs."""
        name = kind.channel(org_id, session_id)
        with self.attending(name, Watcher(kind, org_id, session_id)) as watcher:
            yield watcher

    async def look(self) -> None:
        """Wake the watchers of every session that is not as its stream has shown it."""
        by_kind: dict[Kind, list[Watcher]] = {}
        for watcher in self.everyone():
            by_kind.setdefault(watcher.kind, []).append(watcher)
        for kind, watchers in by_kind.items():
            await self.carefully(self._look_at(kind, watchers))

    async def _look_at(self, kind: Kind, watchers: Sequence[Watcher]) -> None:
        watching.wake(await kind.changed(watchers))


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
