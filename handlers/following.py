"""What all live streams do alike: show what there is, wait for more, end when it is time.

What a stream shows, and how it is read, is its `View`'s.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, Final, Protocol

from auth import schemes
from domain.errors import NotFound, Unauthenticated, Unavailable
from domain.principal import Principal
from handlers.event_stream import KEEP_ALIVE, event
from services import session_watch
from services.session_watch import Kind, Watcher

KEEP_ALIVE_SECONDS = 15.0
CREDENTIAL_SECONDS = 30.0
AWAY_SECONDS = 1.0
RECONNECT: Final = b"retry: 2000\n\n"


class View(Protocol):
    """A session as one client sees it, read up to some place."""

    kind: Kind
    key: tuple[str, str]

    def news(self) -> bytes:
        """What the last reading brought, as events; empty when it brought nothing."""

    def end(self) -> bytes | None:
        """The last event, when everything is shown and nothing comes any more."""

    @property
    def seen(self) -> Any:
        """What has been shown, in the words of its kind; None while there is more to be read."""

    @property
    def due_seconds(self) -> float | None:
        """When to read again though nothing is new."""

    async def read(self, watcher: Watcher) -> None:
        """Read on; raises `NotFound` or `Unauthenticated` when it may not be seen any more."""


class Following:
    """One client's way through something that grows."""

    def __init__(
        self,
        request: Any,
        user: Principal,
        view: View,
        keep_alive_seconds: float | None = None,
    ) -> None:
        self._request = request
        self._user = user
        self._view = view
        self._keep_alive_seconds = keep_alive_seconds or KEEP_ALIVE_SECONDS
        self._check_at = time.monotonic() + CREDENTIAL_SECONDS

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield what there is and wait for more, until the session or the process ends."""
        view, watch = self._view, session_watch.current()
        yield RECONNECT
        with watch.watching(view.kind, *view.key) as watcher:
            try:
                while not watch.ending:
                    yield view.news() or KEEP_ALIVE
                    if view.seen is not None:
                        if (end := view.end()) is not None:
                            yield end
                            return
                        while not await self._wait(watcher):
                            yield KEEP_ALIVE
                    await self._read(watcher)
            except (Unauthenticated, NotFound) as refusal:
                yield event("error", {"error": refusal.text})

    async def _wait(self, watcher: Watcher) -> bool:
        """Wait until it is time to read on: news, the end, what is due, or the next look at the
        credential.

        False when it was quiet for so long that the client wants a sign of life.
        """
        watcher.seen = self._view.seen
        now = time.monotonic()
        due = self._view.due_seconds
        read_at = self._check_at if due is None else min(self._check_at, now + due)
        news = await watcher.wait(min(self._keep_alive_seconds, max(0.0, read_at - now)))
        return news or time.monotonic() >= read_at

    async def _read(self, watcher: Watcher) -> None:
        """Read on, when the database is there, and see that the credential is still good."""
        while not session_watch.current().ending:
            try:
                if time.monotonic() >= self._check_at:
                    if not await schemes.is_still(self._request, self._user):
                        raise Unauthenticated("The credential is no longer good")
                    self._check_at = time.monotonic() + CREDENTIAL_SECONDS
                await self._view.read(watcher)
            except Unavailable:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            return
