"""A session changing hands on purpose: one claim by name, a nack, a transfer, a good-bye."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import session_nacks, sessions, workers

MOST_NACKS: Final = 20
MOST_PRUNED: Final = 1000

# Nobody asks for one after a minute. By their places: one that is noted anew meanwhile lies
# elsewhere, and stays.
PRUNE_NACKS: Final = f"""
with gone as (
  delete from session_nacks where ctid = any (array(
    select ctid from session_nacks
     where nacked_at < now() - interval '1 hour'
     order by nacked_at
     limit {MOST_PRUNED}))
  returning 1
)
select count(*) as count from gone
"""


async def lock_worker(
    db: AsyncConnection, org_id: str, worker_id: str, registration_id: str
) -> tuple[Row[Any], int] | None:
    """Hold a living worker's row, as polls do, and count its free slots; None without one."""
    worker = (
        await db.execute(
            select(workers)
            .where(
                workers.c.org_id == org_id,
                workers.c.id == worker_id,
                workers.c.registration_id == registration_id,
                workers.c.revoked_at.is_(None),
            )
            # Not the key: whoever holds a session and gives it to this worker looks at the key, and
            # must not wait for a claim that waits for that session.
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if worker is None:
        return None
    held = await db.scalar(
        select(func.count()).where(
            sessions.c.org_id == org_id, sessions.c.slot_worker_id == worker_id
        )
    )
    return worker, worker.capacity - int(held or 0)


async def was_nacked_lately(
    db: AsyncConnection, org_id: str, session_id: str, worker_id: str
) -> bool:
    """Whether the worker gave the session back within the last minute."""
    found = await db.scalar(
        select(session_nacks.c.worker_id).where(
            session_nacks.c.org_id == org_id,
            session_nacks.c.session_id == session_id,
            session_nacks.c.worker_id == worker_id,
            session_nacks.c.nacked_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 1),
        )
    )
    return found is not None


async def note_nack(db: AsyncConnection, org_id: str, session_id: str, worker_id: str) -> None:
    await db.execute(
        upsert(session_nacks)
        .values(org_id=org_id, session_id=session_id, worker_id=worker_id)
        .on_conflict_do_update(
            index_elements=["org_id", "session_id", "worker_id"],
            set_={"nacked_at": func.now()},
        )
    )


async def prune_nacks() -> int:
    """Remove up to a thousand old notes of who gave a session back; returns how many."""
    (row,) = await database.hot(PRUNE_NACKS, {})
    return int(row.count)


async def give_back_all(db: AsyncConnection, org_id: str, worker_id: str) -> Sequence[Any]:
    """Return what a leaving worker holds to the queue, and free its other slots.

    The rows are of the sessions that were still at work, as they were: `id`, `status`, `confirmed`.
    """
    found = await db.execute(
        select(sessions.c.id, sessions.c.status, sessions.c.confirmed)
        .where(
            sessions.c.org_id == org_id,
            sessions.c.worker_id == worker_id,
            sessions.c.status.in_(["claimed", "running", "finalizing"]),
        )
        .order_by(sessions.c.id)
        .with_for_update()
    )
    held = found.all()
    await db.execute(
        update(sessions)
        .where(sessions.c.org_id == org_id, sessions.c.id.in_([each.id for each in held]))
        .values(
            status="pending",
            worker_id=None,
            slot_worker_id=None,
            claimed_at=None,
            updated_at=func.now(),
        )
    )
    await db.execute(
        update(sessions)
        .where(sessions.c.org_id == org_id, sessions.c.slot_worker_id == worker_id)
        .values(slot_worker_id=None)
    )
    # What it lost before waits for anybody now.
    await db.execute(
        update(sessions)
        .where(sessions.c.org_id == org_id, sessions.c.lost_by_worker_id == worker_id)
        .values(lost_by_worker_id=None, lost_status=None, lost_at=None)
    )
    return held
