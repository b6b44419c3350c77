"""What became of an organization's sessions, as streams show it."""

from collections.abc import Sequence
from typing import Any, Final

from domain.times import iso
from persistence import session_events
from persistence.ephemeral import session_news
from persistence.session_events import Feed
from services.session_watch import Kind, Watcher


async def read(org_id: str, projects: frozenset[str] | None, after: int, most: int) -> Feed:
    """The events after a number, those that were committed a moment ago included."""
    await session_events.number()
    return await session_events.read(org_id, projects, after, most)


def shown(row: Any) -> dict[str, Any]:
    """An event's data."""
    return {
        "id": row.public_id,
        "sessionId": row.session_id,
        "projectId": row.project_id,
        "identifier": row.issue_identifier,
        "workType": row.work_type,
        "status": row.status,
        "at": iso(row.at),
        **({"previousStatus": row.previous} if row.previous else {}),
    }


async def _changed(watchers: Sequence[Watcher]) -> list[Watcher]:
    """Those whose organization has another last event than they have seen."""
    await session_events.number()
    now = await session_events.standing(list({watcher.key[0] for watcher in watchers}))
    return [each for each in watchers if now.get(each.key[0], 0) != each.seen]


def _channel(org_id: str, _: str) -> str:
    return session_news.org_channel(org_id)


EVENTS: Final = Kind(_channel, _changed)
"""All sessions of an organization; a watcher has seen the number of the last event."""
