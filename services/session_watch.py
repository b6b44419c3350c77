"""Notices what becomes new in the sessions that the streams of this process show.

A nudge over Redis tells of an activity at once. A look at all watched sessions together, once a
second, finds what no nudge told of, whoever changed it, with Redis or without. Both serve every
stream of the process, and without a stream there is neither.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from persistence import session_activities
from persistence.ephemeral import session_news
from services import watching


class Watcher(watching.Watcher):
    """One stream's interest in one session, and what the stream has shown of it."""

    def __init__(self, org_id: str, session_id: str) -> None:
        super().__init__()
        self.key = (org_id, session_id)
        self.shown = 0
        self.status = ""


class Watch(watching.Watch[Watcher]):
    """All watchers of one process."""

    @contextmanager
    def watching(self, org_id: str, session_id: str) -> Iterator[Watcher]:
        """Watch a session while the block runs."""
        name = session_news.channel(org_id, session_id)
        with self.attending(name, Watcher(org_id, session_id)) as watcher:
            yield watcher

    async def look(self) -> None:
        """Wake the watchers of every session that is not as its stream has shown it."""
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
