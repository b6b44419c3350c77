"""Workers: how they join, how they stay alive, and whether one may act."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import api_keys, sessions, workers

COUNTED_AT_MOST: Final = 1000
"""Up to where the waiting work is counted: a heartbeat costs the same however long the queue is."""

BEAT: Final = f"""
with beat as (
  update workers w set
    last_heartbeat_at = now(),
    active_count = %(active)s,
    status = coalesce(%(status)s, w.status),
    capacity = coalesce(%(capacity)s, w.capacity),
    covered_at = case when %(active)s >= held.count then now() else w.covered_at end,
    short_before_at = case when %(active)s < held.count then w.short_at end,
    short_at = case when %(active)s < held.count then now() end,
    peak_count = case
      when w.peak_since < now() - make_interval(secs => %(lease)s) then %(active)s
      else greatest(w.peak_count, %(active)s) end,
    peak_count_before = case
      when w.peak_since < now() - make_interval(secs => %(lease)s) then w.peak_count
      else w.peak_count_before end,
    peak_since = case
      when w.peak_since < now() - make_interval(secs => %(lease)s) then now()
      else w.peak_since end
  from (select count(*) from sessions s where s.slot_worker_id = %(worker)s) held
  where w.id = %(worker)s and w.org_id = %(org)s and w.registration_id = %(registration)s
    and w.revoked_at is null
  returning w.id, w.org_id, w.project_id, w.host_id, w.retired_at
)
select
  now() as server_time,
  (select count(*) from (
     select 1 from sessions q
     where q.org_id = beat.org_id and q.project_id = beat.project_id and q.status = 'pending'
     limit {COUNTED_AT_MOST}) waiting) as waiting,
  exists (select 1 from sessions l where l.lost_by_worker_id = beat.id) as has_lost,
  exists (select 1 from sessions e where e.slot_worker_id = beat.id and e.status = 'stopped')
    as has_stopped,
  beat.host_id,
  beat.retired_at is not null as is_retired,
  exists (select 1 from mutations m
           where m.host_id = beat.host_id and m.status in ('pending', 'delivered'))
    as has_mutations,
  h.status as host_status, h.recommended_action, h.candidate_pool_ids
from beat left join worker_hosts h on h.id = beat.host_id
"""


async def register(
    db: AsyncConnection, registration_id: str, values: Mapping[str, Any]
) -> tuple[Row[Any], list[str]]:
    """Store a new worker; `values` are columns of `workers`. Returns its row, and who retired.

    An older worker of the same explicit machine and registration gets no new work from now on; its
    sessions stay with it.
    """
    retired: list[str] = []
    if values.get("machine_id"):
        # Two registrations of one machine take turns, or neither would see the other to retire.
        machine = f"{registration_id}/{values['machine_id']}"
        await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(machine, 0))))
        older = await db.scalars(
            update(workers)
            .where(
                workers.c.org_id == values["org_id"],
                workers.c.registration_id == registration_id,
                workers.c.machine_id == values["machine_id"],
                workers.c.retired_at.is_(None),
            )
            .values(retired_at=func.now())
            .returning(workers.c.id)
        )
        retired = sorted(older)
    made = await db.execute(
        insert(workers).values(registration_id=registration_id, **values).returning(*workers.c)
    )
    return made.one(), retired


async def beat(
    org_id: str,
    worker_id: str,
    registration_id: str,
    active: int,
    status: str | None,
    capacity: int | None,
    lease_seconds: float,
) -> Any | None:
    """Store a heartbeat in one round trip; None when there is no such living worker.

    The row has `server_time`, `waiting` (counted up to 1,000), `has_lost` (a session lost by this
    worker still waits), `has_stopped` (a stopped session still takes up its capacity), and of its
    host the id, the status, and in `has_mutations` whether any is not settled.
    """
    rows = await database.hot(
        BEAT,
        {
            "org": org_id,
            "worker": worker_id,
            "registration": registration_id,
            "active": active,
            "status": status,
            "capacity": capacity,
            "lease": lease_seconds,
        },
    )
    return rows[0] if rows else None


async def find(
    db: AsyncConnection, org_id: str, worker_id: str, registration_id: str
) -> Row[Any] | None:
    """A worker of this registration, revoked or not; None for anybody else's."""
    return (
        await db.execute(
            select(workers).where(
                workers.c.org_id == org_id,
                workers.c.id == worker_id,
                workers.c.registration_id == registration_id,
            )
        )
    ).one_or_none()


async def record(
    db: AsyncConnection, org_id: str, worker_id: str, registration_id: str
) -> tuple[Row[Any], list[str]] | None:
    """A living worker's row and the sessions that take up its capacity, oldest first."""
    worker = await find(db, org_id, worker_id, registration_id)
    if worker is None or worker.revoked_at is not None:
        return None
    held = await db.scalars(
        select(sessions.c.id)
        .where(sessions.c.org_id == org_id, sessions.c.slot_worker_id == worker_id)
        .order_by(sessions.c.claimed_at, sessions.c.id)
    )
    return worker, list(held)


async def leave(
    db: AsyncConnection, org_id: str, worker_id: str, registration_id: str
) -> Row[Any] | None:
    """End a worker that says good-bye; None when there is no such living worker."""
    return (
        await db.execute(
            update(workers)
            .where(
                workers.c.org_id == org_id,
                workers.c.id == worker_id,
                workers.c.registration_id == registration_id,
                workers.c.revoked_at.is_(None),
            )
            .values(left_at=func.now(), revoked_at=func.now())
            .returning(*workers.c)
        )
    ).one_or_none()


Standing = Literal["alive", "revoked", "unknown"]


async def standing(org_id: str, worker_id: str, registration_id: str) -> Standing:
    """Why a statement found no living worker: its credential ended, or there is none.

    Asked on the way to a refusal only.
    """
    async with database.statement() as db:
        worker = await find(db, org_id, worker_id, registration_id)
        key_ended = await db.scalar(
            select(api_keys.c.revoked_at).where(
                api_keys.c.org_id == org_id, api_keys.c.id == registration_id
            )
        )
    if key_ended is not None:
        return "revoked"
    if worker is not None and worker.left_at is not None:
        return "unknown"
    if worker is not None and worker.revoked_at is not None:
        return "revoked"
    return "alive" if worker is not None else "unknown"
