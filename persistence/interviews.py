"""Interviews: made with their sessions, found by their ids or by their sessions."""

from typing import Any, Final

from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import interviews, sessions

SHOWN: Final = (
    interviews.c.id,
    interviews.c.session_id,
    interviews.c.turns_sent,
    interviews.c.request_hash,
    interviews.c.created_at,
    sessions.c.org_id,
    sessions.c.public_id,
    sessions.c.project_id,
    sessions.c.issue_title,
    sessions.c.status,
    sessions.c.waits_for,
    sessions.c.work,
)


async def add(
    db: AsyncConnection, org_id: str, interview_id: str, session_id: str, request_hash: bytes
) -> None:
    """Store an interview whose session was stored in this transaction."""
    await db.execute(
        insert(interviews).values(
            org_id=org_id, id=interview_id, session_id=session_id, request_hash=request_hash
        )
    )


async def find(
    db: AsyncConnection, org_id: str, projects: frozenset[str] | None, interview_id: str
) -> Row[Any] | None:
    """A visible interview with what is shown of its session; None when there is none."""
    query: Select[Any] = (
        select(*SHOWN)
        .join(
            sessions,
            (sessions.c.org_id == interviews.c.org_id) & (sessions.c.id == interviews.c.session_id),
        )
        .where(interviews.c.org_id == org_id, interviews.c.id == interview_id)
    )
    if projects is not None:
        query = query.where(sessions.c.project_id.in_(projects))
    found: Row[Any] | None = (await db.execute(query)).one_or_none()
    return found


async def send_turn(db: AsyncConnection, org_id: str, session_id: str) -> str | None:
    """Number what somebody says to an agent, whose answer is that turn; None for a session that is
    no interview. The session's row is held. `turn-0` answers what the interview was made with."""
    sent = (
        await db.execute(
            update(interviews)
            .where(interviews.c.org_id == org_id, interviews.c.session_id == session_id)
            .values(turns_sent=interviews.c.turns_sent + 1)
            .returning(interviews.c.turns_sent)
        )
    ).scalar_one_or_none()
    return None if sent is None else f"turn-{sent}"
