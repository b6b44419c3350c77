"""A session as it happens."""

from typing import Any

from domain.errors import NotFound
from domain.principal import Principal
from domain.session_states import ENDED, public_status
from handlers.event_stream import EventStream, event
from handlers.following import Following
from persistence.session_activities import Feed, Size
from services import session_feed, session_watch
from services.session_watch import Watcher
from services.tenancy import visible_projects

PORTION = Size(activities=500, bytes=250_000)
"""What a stream holds in memory at the most, but for a single longer activity."""

MOST_BEHIND = 10_000
"""How far a stream may be behind before it leaves activities out and says so."""


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
    following = Following(request, user, _View(user, visible, feed, number))
    return EventStream(following.events(), session_watch.current().ended)


class _View:
    """The activities of a session and its status, as one client sees them."""

    kind = session_feed.ACTIVITIES
    due_seconds = None

    def __init__(
        self, user: Principal, visible: frozenset[str] | None, feed: Feed, number: int
    ) -> None:
        self.key = (feed.org_id, feed.session_id)
        self._user = user
        self._visible = visible
        self._feed = feed
        self._shown = min(number, feed.count)
        self._status = ""

    def news(self) -> bytes:
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

    def end(self) -> bytes | None:
        """The last event of an ended session."""
        return event("end", {"status": self._status}) if self._feed.status in ENDED else None

    @property
    def seen(self) -> tuple[int, str] | None:
        """Number of activities and status, when all of them are shown."""
        feed = self._feed
        return (feed.count, feed.status) if self._shown == feed.count else None

    async def read(self, watcher: Watcher) -> None:
        """Read on after the last activity shown."""
        feed = await session_feed.read(self._user, self._visible, self.key[1], self._shown, PORTION)
        if feed is None:
            raise NotFound("Session not found")
        self._feed = feed

    def _new_status(self) -> bytes:
        self._status = public_status(self._feed.status)
        return event("status", {"status": self._status})

    def _leave_out(self, last: int) -> bytes:
        """The event that says which activities are not shown, up to the number given."""
        gap = event("gap", {"from": self._shown + 1, "to": last}, last)
        self._shown = last
        return gap
