"""A session as it happens."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from auth import schemes
from domain.errors import NotFound, Unauthenticated, Unavailable
from domain.principal import Principal
from domain.session_states import ENDED, public_status
from handlers.event_stream import KEEP_ALIVE, EventStream, event
from persistence.session_activities import Feed, Size
from services import session_feed, session_watch
from services.session_watch import Watcher
from services.tenancy import visible_projects

PORTION = Size(activities=500, bytes=250_000)
"""What a stream holds in memory at the most, but for a single longer activity."""

MOST_BEHIND = 10_000
"""How far a stream may be behind before it leaves activities out and says so."""

KEEP_ALIVE_SECONDS = 15.0
CREDENTIAL_SECONDS = 30.0
AWAY_SECONDS = 1.0
RECONNECT = b"retry: 2000\n\n"


async def stream_session(
    id_: str,
    user: Principal,
    request: Any,
    last_event_id: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> EventStream:
    """Follow a session: what was, from the id last seen on, and what comes."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    place = request.headers.get("last-event-id") or last_event_id
    number = session_feed.number_in(place)
    feed = await session_feed.read(user, visible, id_, number, PORTION)
    if feed is None:
        raise NotFound("Session not found")
    stream = _Stream(request, user, visible, feed, number)
    return EventStream(stream.events(), session_watch.current().ended)


class _Stream:
    """One client's way through a session."""

    def __init__(
        self,
        request: Any,
        user: Principal,
        visible: frozenset[str] | None,
        feed: Feed,
        number: int,
    ) -> None:
        self._request = request
        self._user = user
        self._visible = visible
        self._feed = feed
        self._shown = min(number, feed.count)
        self._status = ""
        self._check_at = time.monotonic() + CREDENTIAL_SECONDS

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield what there is and wait for more, until the session or the process ends."""
        watch = session_watch.current()
        yield RECONNECT
        with watch.watching(self._feed.org_id, self._feed.session_id) as watcher:
            try:
                while not watch.ending:
                    yield self._news() or KEEP_ALIVE
                    if self._shown == self._feed.count:
                        if self._feed.status in ENDED:
                            yield event("end", {"status": self._status})
                            return
                        while not await self._wait(watcher):
                            yield KEEP_ALIVE
                    await self._read()
            except (Unauthenticated, NotFound) as refusal:
                yield event("error", {"error": refusal.text})

    def _news(self) -> bytes:
        """What the last reading brought, as events; empty when it brought nothing."""
        feed = self._feed
        parts = [] if self._status else [self._new_status()]
        if feed.count - self._shown > MOST_BEHIND:
            parts.append(self._leave_out(feed.count - MOST_BEHIND))
        else:
            for row in feed.activities:
                if row.seq > self._shown + 1:
                    parts.append(self._leave_out(row.seq - 1))
                parts.append(event("activity", session_feed.shown(row), row.seq))
                self._shown = row.seq
            if not feed.activities and self._shown < feed.count:
                parts.append(self._leave_out(feed.count))
        if self._shown == feed.count and self._status != public_status(feed.status):
            parts.append(self._new_status())
        return b"".join(parts)

    def _new_status(self) -> bytes:
        self._status = public_status(self._feed.status)
        return event("status", {"status": self._status})

    def _leave_out(self, last: int) -> bytes:
        """The event that says which activities are not shown, up to the number given."""
        gap = event("gap", {"from": self._shown + 1, "to": last}, last)
        self._shown = last
        return gap

    async def _wait(self, watcher: Watcher) -> bool:
        """Wait until it is time to read on: news, the end, or the next look at the credential.

        False when it was quiet for so long that the client wants a sign of life.
        """
        watcher.shown, watcher.status = self._shown, self._feed.status
        left = max(0.0, self._check_at - time.monotonic())
        news = await watcher.wait(min(KEEP_ALIVE_SECONDS, left))
        return news or time.monotonic() >= self._check_at

    async def _read(self) -> None:
        """Read on, when the database is there, and see that the credential is still good."""
        while not session_watch.current().ending:
            try:
                if time.monotonic() >= self._check_at:
                    if not await schemes.is_still(self._request, self._user):
                        raise Unauthenticated("The credential is no longer good")
                    self._check_at = time.monotonic() + CREDENTIAL_SECONDS
                feed = await session_feed.read(
                    self._user, self._visible, self._feed.session_id, self._shown, PORTION
                )
            except Unavailable:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if feed is None:
                raise NotFound("Session not found")
            self._feed = feed
            return
