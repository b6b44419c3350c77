"""An interview as it happens."""

from collections.abc import Sequence
from typing import Any

from domain.errors import NotFound
from domain.interviews import END_SECONDS, Order, Place
from domain.principal import Principal
from domain.session_states import public_status
from handlers.event_stream import EventStream, event
from handlers.following import Following
from persistence import database, interviews
from services import interview_feed, session_watch
from services.session_watch import Watcher
from services.tenancy import visible_projects


async def stream_interview(
    id_: str,
    user: Principal,
    request: Any,
    last_event_id: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> EventStream:
    """Follow what the agent of an interview says, from the place last seen on."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    async with database.statement() as db:
        interview = await interviews.find(db, str(user.org_id), visible, id_)
    if interview is None:
        raise NotFound("Interview not found")
    key = (interview.org_id, interview.session_id)
    place = Place.read(request.headers.get("last-event-id") or last_event_id)
    rows = await interview_feed.read(key, place)
    if place.turn and rows[0].number != place.turn:  # of another interview, or of none
        place = Place()
        rows = await interview_feed.read(key, place)
    following = Following(request, user, _View(key, place, rows))
    return EventStream(following.events(), session_watch.current().ended)


class _View:
    """The frames of an interview and its status, as one client sees them."""

    kind = interview_feed.FRAMES

    def __init__(self, key: tuple[str, str], place: Place, rows: Sequence[Any]) -> None:
        self.key = key
        self._order = Order(place)
        self._rows = rows
        self._status = ""

    def news(self) -> bytes:
        """What the last reading brought and may be shown, as events."""
        parts = [] if self._status else [self._new_status()]
        parts += [
            event(shown.kind, shown.data, shown.place)
            for shown in self._order.take(row for row in self._rows if row.number is not None)
        ]
        if self.seen is not None and self._status != public_status(self._now.status):
            parts.append(self._new_status())
        return b"".join(parts)

    def end(self) -> bytes | None:
        """The last event, once the session has ended and its last frames have had their time."""
        ended = self._now.ended_seconds
        if ended is None or ended < END_SECONDS or self._order.held_seconds is not None:
            return None
        return event("end", {"status": self._status})

    @property
    def seen(self) -> tuple[int, int, str] | None:
        """Turn, index and status, unless a reading from here brings more at once."""
        order = self._order
        if order.held_seconds is None and interview_feed.is_cut(self._rows):
            return None
        return (order.place.turn, order.place.index, self._now.status)

    @property
    def due_seconds(self) -> float | None:
        """When what is held back is shown, or the stream ends."""
        waits = [] if self._order.held_seconds is None else [self._order.held_seconds]
        ended = self._now.ended_seconds
        if ended is not None and ended < END_SECONDS:
            waits.append(END_SECONDS - ended)
        return min(waits, default=None)

    async def read(self, watcher: Watcher) -> None:
        """Read on from the last frame shown."""
        rows = await interview_feed.read(self.key, self._order.place, watcher)
        if not rows:
            raise NotFound("Interview not found")
        self._rows = rows

    @property
    def _now(self) -> Any:
        """The session as the last reading saw it; every row says the same of it."""
        return self._rows[0]

    def _new_status(self) -> bytes:
        self._status = public_status(self._now.status)
        return event("status", {"status": self._status})
