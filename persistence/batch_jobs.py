"""Batch jobs: the queue of a poll's other lanes, its claims, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, and_, exists, func, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.paging import Page, page
from persistence.tables import api_keys, batch_jobs, workers

MOST_HELD: Final = 2
"""How many jobs of one lane a worker holds: one at work, and one that it takes up next."""

LEASE_SECONDS: Final = 3600
"""How long a claim lasts, unless the job says otherwise; nothing can be heard of it meanwhile."""

CLAIM: Final = """
with lanes as (
  select distinct w.id as worker_id, w.org_id, w.project_id, lane as work_type
    from workers w cross join unnest(w.capabilities) as lane
   where w.id = %(worker)s and w.org_id = %(org)s and w.registration_id = %(registration)s
     and w.revoked_at is null and w.retired_at is null and w.status <> 'draining'
), best as (
  select b.org_id, b.id, lanes.worker_id
    from lanes cross join lateral (
      select b.org_id, b.id from batch_jobs b
       where b.org_id = lanes.org_id and b.project_id = lanes.project_id
         and b.work_type = lanes.work_type and b.status = 'waiting'
         and (select count(*) from batch_jobs h
               where h.worker_id = lanes.worker_id and h.work_type = lanes.work_type
                 and h.status = 'claimed') < %(most)s
       order by b.created_at, b.id
       limit 1
         for update skip locked) b
), claimed as (
  update batch_jobs b
     set status = 'claimed', worker_id = best.worker_id, claimed_at = now(),
         attempts = b.attempts + 1,
         lease_ends_at = now() + make_interval(
           secs => coalesce((b.item ->> 'maxDurationSeconds')::integer, %(lease)s))
    from best
   where b.org_id = best.org_id and b.id = best.id and b.status = 'waiting'
  returning b.*
), logged as (
  insert into audit_pending
         (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
  select c.org_id, 'batch_job.claimed', %(worker)s, 'worker', 'batch_job', c.id,
         jsonb_build_object('attempt', c.attempts, 'projectId', c.project_id)
    from claimed c
)
select c.*, ceil(extract(epoch from c.lease_ends_at - now()))::integer as lease_seconds
  from claimed c order by c.work_type
"""

# A claim ends with its time, and earlier with its worker: when that was silent for a whole session
# lease (heartbeats could be stored all the while), said good-bye, or lost its key.
END_LEASES: Final = """
with over as (
  select b.org_id, b.id, o.max_attempts
    from batch_jobs b
    join workers w on w.id = b.worker_id
    join organizations o on o.id = b.org_id
   where b.status = 'claimed'
     and (b.lease_ends_at < now() or w.revoked_at is not null
          or (w.last_heartbeat_at < now() - make_interval(secs => %(lease)s)
              and b.claimed_at < now() - make_interval(secs => %(lease)s)
              and exists (
                select 1 from service_pulse p
                 where p.alive_since <= now() - make_interval(secs => %(lease)s)
                   and p.last_pulse_at > now() - make_interval(secs => %(gap)s))))
   limit 100
     for update of b skip locked
), ended as (
  update batch_jobs b
     set status = case when b.attempts >= over.max_attempts then 'failed' else 'waiting' end,
         failure_reason = case when b.attempts >= over.max_attempts
           then 'no result came of ' || b.attempts || ' attempts' end,
         finished_at = case when b.attempts >= over.max_attempts then now() end,
         worker_id = null, claimed_at = null, lease_ends_at = null
    from over
   where b.org_id = over.org_id and b.id = over.id
  returning b.org_id, b.id, b.project_id, b.status, b.attempts
), logged as (
  insert into audit_pending (org_id, event_type, actor_type, entity_type, entity_id, payload)
  select e.org_id,
         case e.status when 'failed' then 'batch_job.failed' else 'batch_job.lease_ended' end,
         'system', 'batch_job', e.id, jsonb_build_object('attempts', e.attempts)
    from ended e
)
select org_id, id, project_id, status from ended
"""


async def add(db: AsyncConnection, values: Mapping[str, Any]) -> Row[Any] | None:
    """Store a new job in its lane; None when the organization has one of this id already."""
    made = await db.execute(
        upsert(batch_jobs)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["org_id", "id"])
        .returning(*batch_jobs.c)
    )
    return made.one_or_none()


async def claim(org_id: str, worker_id: str, registration_id: str) -> Sequence[Any]:
    """Give the worker the oldest waiting job of each lane that it serves.

    Polls of several workers skip the rows the others hold, so no job goes out twice. Polls of one
    worker at the same instant may together pass `MOST_HELD`, which only spreads the work less well.
    """
    return await database.hot(
        CLAIM,
        {
            "org": org_id,
            "worker": worker_id,
            "registration": registration_id,
            "most": MOST_HELD,
            "lease": LEASE_SECONDS,
        },
    )


async def end_leases(lease_seconds: float, gap_seconds: float) -> Sequence[Any]:
    """Put back, or fail after too many attempts, up to a hundred jobs whose claim is over."""
    return await database.hot(END_LEASES, {"lease": lease_seconds, "gap": gap_seconds})


def _visible(org_id: str, projects: frozenset[str] | None) -> Any:
    seen = true() if projects is None else batch_jobs.c.project_id.in_(projects)
    return and_(batch_jobs.c.org_id == org_id, seen)


async def list_page(
    db: AsyncConnection,
    org_id: str,
    projects: frozenset[str] | None,
    status: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """One page, newest first, without items and results."""
    shown = [c for c in batch_jobs.c if c.name not in {"item", "result", "result_hash"}]
    query = select(*shown).where(_visible(org_id, projects))
    if status is not None:
        query = query.where(batch_jobs.c.status == status)
    return await page(db, query, batch_jobs.c.created_at, batch_jobs.c.id, limit, cursor)


async def find(
    db: AsyncConnection, org_id: str, projects: frozenset[str] | None, job_id: str
) -> Row[Any] | None:
    """One visible job with its item and result; None when there is none."""
    query = select(batch_jobs).where(_visible(org_id, projects), batch_jobs.c.id == job_id)
    return (await db.execute(query)).one_or_none()


async def lock_for_result(
    db: AsyncConnection, org_id: str, project_id: str, job_id: str, worker_id: str
) -> Row[Any] | None:
    """Hold a job's row; `may_report` says whether the registration of the worker is still good.

    A worker that said good-bye may still report what it had begun.
    """
    good = exists().where(
        workers.c.id == worker_id,
        workers.c.org_id == batch_jobs.c.org_id,
        api_keys.c.id == workers.c.registration_id,
        api_keys.c.revoked_at.is_(None),
        func.coalesce(api_keys.c.expires_at > database.NOW, True),
    )
    return (
        await db.execute(
            select(batch_jobs, good.label("may_report"))
            .where(
                batch_jobs.c.org_id == org_id,
                batch_jobs.c.project_id == project_id,
                batch_jobs.c.id == job_id,
            )
            .with_for_update(of=batch_jobs)
        )
    ).one_or_none()


async def settle(
    db: AsyncConnection, org_id: str, job_id: str, values: Mapping[str, Any]
) -> Row[Any]:
    """Store the end of a job whose row is held."""
    done = await db.execute(
        update(batch_jobs)
        .where(batch_jobs.c.org_id == org_id, batch_jobs.c.id == job_id)
        .values({"lease_ends_at": None, **values, "finished_at": database.NOW})
        .returning(*batch_jobs.c)
    )
    return done.one()
