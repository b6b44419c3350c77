"""Tasks that others sent here over A2A: sessions, and what A2A knows of them beside.

Every lookup names the organization and the projects that the caller sees.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, desc, func, insert, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.paging import Page, page
from persistence.tables import (
    a2a_messages,
    a2a_tasks,
    activities,
    completions,
    sessions,
)

Projects = frozenset[str] | None

_HEAD = (
    a2a_tasks.c.org_id,
    a2a_tasks.c.session_id,
    a2a_tasks.c.project_id,
    a2a_tasks.c.context_id,
    a2a_tasks.c.created_at,
    sessions.c.status,
    sessions.c.waits_for,
    sessions.c.failure_reason,
    sessions.c.activity_count,
    sessions.c.updated_at,
    sessions.c.input_tokens,
    sessions.c.output_tokens,
    sessions.c.external_urls,
    sessions.c.public_id,
)
_JOINED = a2a_tasks.join(
    sessions,
    and_(sessions.c.org_id == a2a_tasks.c.org_id, sessions.c.id == a2a_tasks.c.session_id),
)


def _mine(org_id: str, projects: Projects) -> ColumnElement[bool]:
    seen = true() if projects is None else a2a_tasks.c.project_id.in_(projects)
    return and_(a2a_tasks.c.org_id == org_id, seen)


async def take_turn(db: AsyncConnection, org_id: str, sender_id: str, message_id: str) -> None:
    """Wait for whoever handles the same message, until the end of the transaction."""
    name = f"{org_id}/a2a/{sender_id}/{message_id}"
    await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def find_sent(
    db: AsyncConnection, org_id: str, sender_id: str, message_id: str, message_hash: bytes
) -> str | None:
    """The task that a message belongs to which was sent before."""
    found: str | None = await db.scalar(
        select(a2a_messages.c.session_id).where(
            a2a_messages.c.org_id == org_id,
            a2a_messages.c.sender_id == sender_id,
            a2a_messages.c.message_id == message_id,
            a2a_messages.c.message_hash == message_hash,
        )
    )
    return found


async def create(
    db: AsyncConnection, org_id: str, session_id: str, project_id: str, context_id: str
) -> None:
    await db.execute(
        insert(a2a_tasks).values(
            org_id=org_id, session_id=session_id, project_id=project_id, context_id=context_id
        )
    )


async def add_message(
    db: AsyncConnection,
    org_id: str,
    session_id: str,
    sender_id: str,
    message_id: str,
    message_hash: bytes,
    message: str,
) -> None:
    """Keep what a client has said."""
    await db.execute(
        insert(a2a_messages).values(
            org_id=org_id,
            session_id=session_id,
            sender_id=sender_id,
            message_id=message_id,
            message_hash=message_hash,
            message=message,
        )
    )


async def find(db: AsyncConnection, org_id: str, projects: Projects, session_id: str) -> Any:
    """One task and the state of its session."""
    found: Any = (
        await db.execute(
            select(*_HEAD)
            .select_from(_JOINED)
            .where(_mine(org_id, projects), a2a_tasks.c.session_id == session_id)
        )
    ).one_or_none()
    return found


async def list_page(
    db: AsyncConnection,
    org_id: str,
    projects: Projects,
    *,
    context_id: str | None,
    statuses: Collection[str] | None,
    since: datetime | None,
    limit: int,
    cursor: str | None,
) -> tuple[Page, int]:
    """Tasks, newest first, and how many there are in all."""
    wanted = [_mine(org_id, projects)]
    if context_id:
        wanted.append(a2a_tasks.c.context_id == context_id)
    if statuses is not None:
        wanted.append(sessions.c.status.in_(statuses))
    if since is not None:
        wanted.append(sessions.c.updated_at > since)
    query = select(*_HEAD).select_from(_JOINED).where(*wanted)
    total = await db.scalar(select(func.count()).select_from(_JOINED).where(*wanted))
    found = await page(db, query, a2a_tasks.c.created_at, a2a_tasks.c.session_id, limit, cursor)
    return found, int(total or 0)


async def messages(db: AsyncConnection, org_id: str, session_id: str, most: int) -> Sequence[Any]:
    """What clients said last, oldest first."""
    rows = await db.execute(
        select(a2a_messages.c.message, a2a_messages.c.created_at)
        .where(a2a_messages.c.org_id == org_id, a2a_messages.c.session_id == session_id)
        .order_by(desc(a2a_messages.c.position))
        .limit(most)
    )
    return list(rows)[::-1]


async def said(
    db: AsyncConnection, org_id: str, session_id: str, until: int, most: int
) -> Sequence[Any]:
    """What the agent did last, up to a number, oldest first."""
    rows = await db.execute(
        select(activities.c.seq, activities.c.activity, activities.c.stored_at)
        .where(
            activities.c.org_id == org_id,
            activities.c.session_id == session_id,
            activities.c.seq <= until,
        )
        .order_by(desc(activities.c.seq))
        .limit(most)
    )
    return list(rows)[::-1]


async def results(
    db: AsyncConnection, org_id: str, session_ids: Collection[str]
) -> dict[str, list[str]]:
    """The texts that conclude sessions, oldest first."""
    found: dict[str, list[str]] = {}
    if session_ids:
        rows = await db.execute(
            select(completions.c.session_id, completions.c.summary)
            .where(completions.c.org_id == org_id, completions.c.session_id.in_(session_ids))
            .order_by(completions.c.stored_at)
        )
        for row in rows:
            found.setdefault(row.session_id, []).append(row.summary)
    return found
