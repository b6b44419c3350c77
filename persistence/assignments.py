"""Issues that the tracker says are the agent's, until an agent session for them comes."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Row, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import assignments, sessions, tracker_agents

WAIT: Final = text("interval '30 seconds'")
"""Delegation opens an agent session by itself, and its event may come before or after."""


DROP: Final = """
delete from assignments
 where org_id = %(org)s and project_id = %(project)s and issue_id = %(issue)s
returning issue_id
"""


async def know_agent(db: AsyncConnection, org_id: str, user_id: str) -> None:
    """Note an id by which the tracker knows the agent."""
    noting = upsert(tracker_agents).values(org_id=org_id, user_id=user_id)
    await db.execute(noting.on_conflict_do_nothing())


async def is_agent(db: AsyncConnection, org_id: str, user_ids: Collection[str]) -> bool:
    """Whether one of these is the agent."""
    found = exists().where(
        tracker_agents.c.org_id == org_id, tracker_agents.c.user_id.in_(user_ids)
    )
    return bool(await db.scalar(select(found)))


async def add(db: AsyncConnection, org_id: str, project_id: str, issue_id: str) -> None:
    """Note that an issue has just been assigned to the agent."""
    noting = upsert(assignments).values(org_id=org_id, project_id=project_id, issue_id=issue_id)
    await db.execute(noting.on_conflict_do_nothing())


async def drop(db: AsyncConnection, org_id: str, project_id: str, issue_id: str) -> bool:
    """Forget an assignment; False when there is none."""
    gone = await db.exec_driver_sql(DROP, {"org": org_id, "project": project_id, "issue": issue_id})
    return gone.one_or_none() is not None


async def next_due(db: AsyncConnection) -> Row[Any] | None:
    """The oldest assignment that has waited long enough; None when there is none.

    `had_session` says whether a session of the issue was made since shortly before it.
    """
    had_session = exists().where(
        sessions.c.org_id == assignments.c.org_id,
        sessions.c.project_id == assignments.c.project_id,
        sessions.c.issue_id == assignments.c.issue_id,
        sessions.c.created_at > assignments.c.assigned_at - WAIT,
    )
    return (
        await db.execute(
            select(assignments, had_session.label("had_session"))
            .where(assignments.c.assigned_at <= func.now() - WAIT)
            .order_by(assignments.c.assigned_at)
            .limit(1)
        )
    ).one_or_none()
