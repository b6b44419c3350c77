"""What the agent of a session asks about it: where it belongs, who holds it, what it has begun."""

from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import sessions

PROJECT: Final = """
select project_id from sessions
 where org_id = %(org)s and id = %(session)s
   and (%(projects)s::text[] is null or project_id = any (%(projects)s::text[]))
"""

HOLDER: Final = """
select s.worker_id, s.lease_epoch, s.provider_session_id, w.registration_id
  from sessions s join workers w on w.id = s.worker_id and w.org_id = s.org_id
 where s.org_id = %(org)s and s.id = %(session)s
   and s.status in ('claimed', 'running', 'finalizing') and w.revoked_at is null
"""

MOST_FILES: Final = 200
FILES: Final = f"""
select path from file_reservations
 where org_id = %(org)s and session_id = %(session)s and expires_at > now()
 order by path limit {MOST_FILES}
"""


async def project_of(org_id: str, session_id: str, projects: frozenset[str] | None) -> str | None:
    """The project of a session that is in one of these projects; None when there is none."""
    values = {
        "org": org_id,
        "session": session_id,
        "projects": None if projects is None else list(projects),
    }
    rows = await database.hot(PROJECT, values)
    return str(rows[0].project_id) if rows else None


async def holder(org_id: str, session_id: str) -> Any | None:
    """The worker that holds a session, its registration and epoch; None when nobody does."""
    rows = await database.hot(HOLDER, {"org": org_id, "session": session_id})
    return rows[0] if rows else None


async def files(org_id: str, session_id: str) -> list[str]:
    """The paths that a session has reserved, the first of them when there are very many."""
    rows = await database.hot(FILES, {"org": org_id, "session": session_id})
    return [row.path for row in rows]


async def count_submitted(db: AsyncConnection, org_id: str, session_id: str) -> int:
    """How many sessions a session's agent has submitted."""
    counted = await db.execute(
        select(func.count()).where(
            sessions.c.org_id == org_id, sessions.c.submitted_by == session_id
        )
    )
    return int(counted.scalar_one())
