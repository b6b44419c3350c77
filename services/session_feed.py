"""A session's activities as one reading and as a stream show them."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from domain.principal import Principal
from domain.times import iso
from persistence import session_activities
from persistence.ephemeral import session_news
from persistence.session_activities import Feed, Size
from services.session_watch import Kind, Watcher


async def read(
    user: Principal, projects: frozenset[str] | None, session_id: str, after: int, size: Size
) -> Feed | None:
    """The activities after a number, of a session that the credential sees; None for no such one.

    Workers name a session by the tracker's id alone, whoever may read sessions by its public id
    too. Raises `Unauthenticated` when the credential was revoked meanwhile.
    """
    return await session_activities.read(
        user, projects, session_id, after, size, by_public_id=user.may("sessions:read")
    )


def number_in(place: str | None) -> int:
    """The number in a cursor or event id; 0, the beginning, for what is no number."""
    return int(place) if place and place.isascii() and place.isdecimal() else 0


def shown(row: Any) -> dict[str, Any]:
    """The contract's SessionActivity of a stored row."""
    posted = orjson.loads(row.activity)
    activity = {
        "id": str(row.seq),
        "type": posted["type"],
        "content": posted["content"],
        "timestamp": posted.get("timestamp") or iso(row.stored_at),
    }
    if "toolName" in posted:
        activity["toolName"] = posted["toolName"]
    if posted["type"] == "context":
        activity |= {
            name: posted[name] for name in ("contextKey", "contextValue") if name in posted
        }
    return activity


async def _changed(watchers: Sequence[Watcher]) -> list[Watcher]:
    """Those whose session has another number of activities, or status, than they have seen."""
    keys = list({watcher.key for watcher in watchers})
    now = {
        (row.org_id, row.id): (row.activity_count, row.status)
        for row in await session_activities.standing(keys)
    }
    return [each for each in watchers if now.get(each.key, each.seen) != each.seen]


ACTIVITIES: Final = Kind(session_news.channel, _changed)
"""A session's activities and status; a watcher has seen (number of activities, status)."""
