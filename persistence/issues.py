"""Who works on an issue: at most one session holds it, the others of the issue are parked.

An issue is a project's: who may name the issue of another project must not be in its way.
"""

from typing import Any, Final

from sqlalchemy import Row, exists, literal, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.sessions import ISSUE
from persistence.tables import sessions

TAKE_TURN: Final = "select pg_advisory_xact_lock(hashtextextended(%(issue)s, 0))"

PROMOTE: Final = """
with free as (
  select distinct on (p.org_id, p.project_id, p.issue_id) p.org_id, p.id
    from sessions p
   where p.waits_for = 'issue' and p.status = 'pending'
     and not exists (
       select 1 from sessions h
        where h.org_id = p.org_id and h.project_id = p.project_id
          and h.issue_id = p.issue_id and h.holds_issue)
   order by p.org_id, p.project_id, p.issue_id, p.priority, p.queued_at
   limit 100
), held as (
  select s.org_id, s.id from sessions s join free using (org_id, id)
   where s.waits_for = 'issue' and s.status = 'pending'
     for update of s skip locked
)
update sessions s set waits_for = null, holds_issue = true, updated_at = now()
  from held where s.org_id = held.org_id and s.id = held.id
returning s.org_id, s.id, s.project_id
"""


async def take_turn(db: AsyncConnection, org_id: str, issue_id: str) -> None:
    """Wait for whoever queues work for the same issue, until the end of the transaction."""
    await db.exec_driver_sql(TAKE_TURN, {"issue": f"{org_id}/issue/{issue_id}"})


async def take(db: AsyncConnection, org_id: str, issue_id: str, session_id: str) -> bool:
    """Make a session the holder of its issue; False when another holds it.

    A session without an issue holds nothing and is never in the way.
    """
    if not issue_id:
        return True
    other = sessions.alias("other")
    taking = (
        update(sessions)
        .where(
            sessions.c.org_id == org_id,
            sessions.c.id == session_id,
            ~exists(
                select(literal(1)).where(
                    other.c.org_id == org_id,
                    other.c.project_id == sessions.c.project_id,
                    other.c.issue_id == issue_id,
                    other.c.holds_issue,
                    other.c.id != session_id,
                )
            ),
        )
        .values(holds_issue=True)
        .returning(sessions.c.id)
    )
    try:
        async with db.begin_nested():
            return (await db.execute(taking)).one_or_none() is not None
    except IntegrityError:  # another took it between the look and the write
        return False


async def parked(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str, work_type: str, but: str
) -> list[Row[Any]]:
    """Hold and return the issue's parked sessions of a work type, but for one."""
    return list(
        await db.execute(
            select(sessions)
            .where(
                sessions.c.org_id == org_id,
                sessions.c.project_id == project_id,
                sessions.c.issue_id == issue_id,
                sessions.c.work_type == work_type,
                sessions.c.waits_for == ISSUE,
                sessions.c.status == "pending",
                sessions.c.id != but,
            )
            .with_for_update()
        )
    )


async def promote(db: AsyncConnection) -> list[Row[Any]]:
    """Queue the next parked session of every issue that nobody holds, most urgent first."""
    try:
        async with db.begin_nested():
            return list(await db.execute(text(PROMOTE)))
    except IntegrityError:  # somebody took one of them meanwhile; the next round sees it
        return []
