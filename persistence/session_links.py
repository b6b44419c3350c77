"""Links: what providers say belongs to a session, each kind and key once a session."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, and_, false, func, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.session_links import Hints, Link
from persistence.tables import session_links, sessions

MOST_SESSIONS: Final = 50
"""An event is linked to so many sessions at most, the newest ones."""


async def sessions_of(
    db: AsyncConnection, org_id: str, project_id: str, hints: Hints
) -> list[Row[Any]]:
    """The project's sessions that an event belongs to, newest first: they carry its issue's name,
    name one of its URLs, or are linked to what it is part of. `by_url` says which name a URL."""
    linked: Sequence[str] = ()
    if hints.parents:
        linked = (
            await db.scalars(
                select(session_links.c.session_id)
                .distinct()
                .where(
                    session_links.c.org_id == org_id,
                    session_links.c.key.in_(hints.parents),
                    session_links.c.kind.in_(("pull-request", "issue")),
                )
            )
        ).all()
    urls = [each for url in hints.urls for each in (url, f"{url}/")]
    some = sessions.c.external_urls != text("'[]'")  # in the words of the index
    named = [and_(some, sessions.c.external_urls.contains([{"url": url}])) for url in urls]
    by_url = or_(false(), *named)
    found = await db.execute(
        select(
            sessions.c.id,
            sessions.c.work_type,
            sessions.c.provider,
            sessions.c.lease_epoch,
            sessions.c.work["repository"].astext.label("repository"),
            by_url.label("by_url"),
        )
        .where(
            sessions.c.org_id == org_id,
            sessions.c.project_id == project_id,
            or_(
                by_url,
                sessions.c.issue_identifier.in_(hints.names),
                sessions.c.id.in_(linked),
            ),
        )
        .order_by(sessions.c.queued_at.desc(), sessions.c.id)
        .limit(MOST_SESSIONS)
    )
    return list(found)


async def put(
    db: AsyncConnection, org_id: str, session_ids: Sequence[str], link: Link, received_at: datetime
) -> list[str]:
    """Link something to sessions, or tell what has become of it; returns the ids that are new.

    Deliveries may come in any order: what the provider said later stays.
    """
    putting = upsert(session_links).values(
        [
            {
                "org_id": org_id,
                "session_id": session_id,
                "kind": link.kind,
                "key": link.key,
                "url": link.url,
                "title": link.title,
                "state": link.state,
                "at": link.at or received_at,
            }
            # In one order, so that two events at once wait for each other and never in a ring.
            for session_id in sorted(session_ids)
        ]
    )
    new = putting.excluded
    rows = await db.execute(
        putting.on_conflict_do_update(
            index_elements=["org_id", "session_id", "kind", "key"],
            set_={
                "url": new.url,
                "title": new.title,
                "state": new.state,
                "at": new.at,
                "updated_at": func.now(),
            },
            where=session_links.c.at <= new.at,
        ).returning(session_links.c.session_id, literal_column("xmax = 0").label("is_new"))
    )
    return [row.session_id for row in rows if row.is_new]


async def scans_today(
    db: AsyncConnection, org_id: str, project_id: str, place: str, issue_id: str, *, but: str
) -> int:
    """How many sessions have looked into failures of one kind at a place within a day."""
    count = await db.scalar(
        select(func.count()).where(
            sessions.c.org_id == org_id,
            sessions.c.project_id == project_id,
            sessions.c.issue_identifier == place,
            sessions.c.issue_id == issue_id,
            sessions.c.created_at > func.now() - text("interval '1 day'"),
            sessions.c.id != but,
        )
    )
    return int(count or 0)
