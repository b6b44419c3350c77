"""What becomes of all sessions of an organization, as it happens."""

import time
from typing import Any, Final

from domain.principal import Principal
from handlers.event_stream import EventStream, event
from handlers.following import Following
from persistence.session_activities import MOST_NUMBER
from persistence.session_events import Feed
from services import event_feed, session_watch
from services.session_feed import number_in
from services.session_watch import Watcher
from services.tenancy import visible_projects

PORTION: Final = 500
MOST_BEHIND: Final = 10_000
"""How far a stream may be behind before it leaves events out and says so."""


async def stream_events(
    user: Principal,
    request: Any,
    last_event_id: str | None,
    wait_seconds: float | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> EventStream:
    """Follow all sessions: from now on, or from the id last seen on."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    place = request.headers.get("last-event-id") or last_event_id
    org_id = str(user.org_id)
    after = min(number_in(place), MOST_NUMBER) if place else MOST_NUMBER
    view = _View(org_id, visible, await event_feed.read(org_id, visible, after, PORTION), after)
    if wait_seconds is not None:
        view.until = time.monotonic() + wait_seconds
    return EventStream(Following(request, user, view).events(), session_watch.current().ended)


class _View:
    """The sessions of an organization, as one client sees them."""

    kind = event_feed.EVENTS

    def __init__(
        self, org_id: str, visible: frozenset[str] | None, feed: Feed, number: int
    ) -> None:
        self.key = (org_id, "")
        self.until: float | None = None
        self._visible = visible
        self._feed = feed
        self._shown = min(number, feed.last)
        self._begun = number <= feed.last

    def news(self) -> bytes:
        """What the last reading brought, as events; empty when it brought nothing."""
        feed, parts = self._feed, []
        if not self._begun:
            # Whoever connects again without having heard of anything still misses nothing.
            self._begun = True
            parts.append(event("start", {"lastEventId": str(self._shown)}, self._shown))
        kept_from = feed.last + 1 if feed.first is None else feed.first
        missing = max(kept_from - 1, feed.last - MOST_BEHIND)
        if missing > self._shown:
            parts.append(event("gap", {"from": self._shown + 1, "to": missing}, missing))
            self._shown = missing
        for row in feed.events:
            if row.seq > self._shown:
                parts.append(event("session", event_feed.shown(row), row.seq))
                self._shown = row.seq
        if len(feed.events) < PORTION:
            # What else there is belongs to projects that this client does not see.
            self._shown = max(self._shown, feed.last)
        return b"".join(parts)

    def end(self) -> bytes | None:
        """The last event, when the client wants none later."""
        if self.until is None or time.monotonic() < self.until:
            return None
        return event("end", {"lastEventId": str(self._shown)}, self._shown)

    @property
    def due_seconds(self) -> float | None:
        """When to look whether it is time to end."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())

    @property
    def seen(self) -> int | None:
        """The number of the last event, when all are shown."""
        return self._feed.last if self._shown >= self._feed.last else None

    async def read(self, watcher: Watcher) -> None:
        """Read on after the last event shown."""
        self._feed = await event_feed.read(self.key[0], self._visible, self._shown, PORTION)
