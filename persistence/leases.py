"""Leases: what keeps a session with its worker, and what gives it back to the queue.

All instants are the database's. A session is kept by a call about it, or by a heartbeat of its
worker that counts at least as many sessions as the worker holds (`workers.covered_at`), so that a
heartbeat writes one row however many sessions it covers.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database

MOST_AT_ONCE: Final = 100

# A worker that is silent loses every session that was silent too. One that lives but counted too
# few for a whole lease loses as many as it never counted, the longest untouched first.
#
# A session that a call holds at this moment is left to it; with a limit, nothing waits for long.
END_LEASES: Final = """
with quiet as (
  select s.org_id, s.id, w.id as worker_id,
         w.last_heartbeat_at < now() - make_interval(secs => :lease) as silent,
         (select count(*) from sessions h where h.slot_worker_id = w.id)
           - greatest(w.peak_count, w.peak_count_before) as missing,
         row_number() over (partition by w.id order by s.last_call_at, s.id) as place
    from sessions s
    join workers w on w.id = s.slot_worker_id
   where s.slot_worker_id is not null
     and s.status in ('claimed', 'running', 'finalizing')
     and s.last_call_at < now() - make_interval(secs => :lease)
     and w.covered_at < now() - make_interval(secs => :lease)
     -- No lease ends before heartbeats could be stored for one whole lease.
     and exists (
       select 1 from service_pulse p
        where p.alive_since <= now() - make_interval(secs => :lease)
          and p.last_pulse_at > now() - make_interval(secs => :gap))
), chosen as (
  select s.org_id, s.id, quiet.worker_id
    from quiet join sessions s on s.org_id = quiet.org_id and s.id = quiet.id
   where (quiet.silent or quiet.place <= quiet.missing)
     and s.slot_worker_id = quiet.worker_id
     and s.status in ('claimed', 'running', 'finalizing')
     and s.last_call_at < now() - make_interval(secs => :lease)
   limit :most
     for update of s skip locked
), ended as (
  update sessions s
     set status = case when s.attempts + 1 >= o.max_attempts then 'failed' else 'pending' end,
         failure_reason = case when s.attempts + 1 >= o.max_attempts
           then 'its worker fell silent ' || (s.attempts + 1) || ' times' end,
         finished_at = case when s.attempts + 1 >= o.max_attempts then now() end,
         attempts = s.attempts + 1,
         lost_by_worker_id = case when s.attempts + 1 >= o.max_attempts
           then null else chosen.worker_id end,
         lost_status = s.status,
         lost_at = now(),
         worker_id = null,
         slot_worker_id = null,
         holds_issue = s.holds_issue and s.attempts + 1 < o.max_attempts,
         updated_at = now()
    from chosen, organizations o
   where s.org_id = chosen.org_id and s.id = chosen.id and o.id = s.org_id
  returning s.org_id, s.id, s.project_id, s.status, s.lost_status, s.failure_reason, s.attempts,
            s.lease_epoch, s.provider_session_id, chosen.worker_id
), logged as (
  insert into audit_pending (org_id, event_type, actor_type, entity_type, entity_id, payload)
  select e.org_id, case e.status when 'failed' then 'session.failed' else 'session.lease_ended' end,
         'system', 'session', e.id,
         jsonb_build_object('workerId', e.worker_id, 'attempts', e.attempts,
                            'leaseEpoch', e.lease_epoch)
    from ended e
)
select * from ended
"""

# A stopped session's slot is freed by its worker's last report or a lower count; one that says
# nothing more is freed like a lease.
FREE_STOPPED: Final = """
update sessions s set slot_worker_id = null
  from workers w
 where w.id = s.slot_worker_id and s.status = 'stopped'
   and greatest(s.last_call_at, s.finished_at) < now() - make_interval(secs => %(lease)s)
   and exists (
     select 1 from service_pulse p
      where p.alive_since <= now() - make_interval(secs => %(lease)s)
        and p.last_pulse_at > now() - make_interval(secs => %(gap)s))
returning s.org_id, s.id, s.status, w.id as worker_id
"""

FREE_COUNTED: Final = """
with over as (
  select s.org_id, s.id from sessions s
   where s.slot_worker_id = %(worker)s and s.org_id = %(org)s and s.status = 'stopped'
   order by s.finished_at
   limit greatest(0, (select count(*) from sessions h where h.slot_worker_id = %(worker)s)
                       - %(active)s)
     for update skip locked
)
update sessions s set slot_worker_id = null from over
 where s.org_id = over.org_id and s.id = over.id and s.status = 'stopped'
returning s.id
"""

TAKE_BACK: Final = """
with mine as (
  select s.org_id, s.id from sessions s
   where s.lost_by_worker_id = %(worker)s and s.org_id = %(org)s and s.status = 'pending'
     and (%(session)s::text is null or s.id = %(session)s)
   order by s.lost_at desc
   limit greatest(0, coalesce(%(most)s::integer, %(active)s - (
     select count(*) from sessions h where h.slot_worker_id = %(worker)s)))
     for update
), taken as (
  update sessions s
     set status = s.lost_status, worker_id = %(worker)s, slot_worker_id = %(worker)s,
         lease_epoch = s.lease_epoch + 1, last_call_at = now(), updated_at = now(),
         lost_by_worker_id = null, lost_status = null, lost_at = null
    from mine
   where s.org_id = mine.org_id and s.id = mine.id and s.status = 'pending'
  returning s.org_id, s.id, s.lease_epoch
), logged as (
  insert into audit_pending
         (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
  select t.org_id, 'session.taken_back', %(worker)s, 'worker', 'session', t.id,
         jsonb_build_object('leaseEpoch', t.lease_epoch)
    from taken t
)
select id from taken
"""


async def end_leases(
    db: AsyncConnection, lease_seconds: float, gap_seconds: float
) -> Sequence[Row[Any]]:
    """Give back, or fail after too many attempts, sessions whose lease has ended.

    At most `MOST_AT_ONCE`; their rows are held. Each row returned says who lost the session
    (`worker_id`) in which status (`lost_status`), and what it is now.
    """
    values = {"lease": lease_seconds, "gap": gap_seconds, "most": MOST_AT_ONCE}
    return (await db.execute(text(END_LEASES), values)).all()


async def free_stopped(lease_seconds: float, gap_seconds: float) -> Sequence[Any]:
    """Free the slots of stopped sessions about which nothing more was heard for a lease."""
    return await database.hot(FREE_STOPPED, {"lease": lease_seconds, "gap": gap_seconds})


async def free_counted(org_id: str, worker_id: str, active: int) -> Sequence[Any]:
    """Free as many slots of stopped sessions as a heartbeat counts fewer than its worker holds."""
    return await database.hot(FREE_COUNTED, {"org": org_id, "worker": worker_id, "active": active})


async def take_back_one(org_id: str, worker_id: str, session_id: str) -> bool:
    """Return a lost session that still waits to its last owner; False when it cannot be."""
    values = {"org": org_id, "worker": worker_id, "session": session_id, "most": 1, "active": 0}
    return bool(await database.hot(TAKE_BACK, values))


async def take_back_counted(org_id: str, worker_id: str, active: int) -> Sequence[Any]:
    """Return as many lost sessions to a worker as its heartbeat counts beyond what it holds."""
    values = {"org": org_id, "worker": worker_id, "session": None, "most": None, "active": active}
    return await database.hot(TAKE_BACK, values)
