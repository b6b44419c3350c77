"""The numbers of an organization's fleet, and the counts kept for them.

What is live (workers, work in hand, the queue) is counted by index; what is past is a sum of
counts by day. So the statistics cost as much after years as on the first day.
"""

from typing import Any, Final

from persistence import database

MOST_FOLDED: Final = 10_000

STATS: Final = """
with online as (
  select w.id, w.capacity, w.status = 'draining' or w.retired_at is not null as closed
    from workers w
   where w.org_id = %(org)s
     and (%(projects)s::text[] is null or w.project_id = any (%(projects)s::text[]))
     -- A lease lasts a day at the most.
     and w.seen_on >= (now() at time zone 'utc')::date - 1
     and w.last_heartbeat_at > now() - make_interval(secs => %(lease)s)
     and w.revoked_at is null
), counted as (
  select c.day = '-infinity' as ever, c.day <> '-infinity' as today,
         c.sessions, c.completed, c.cost_usd
    from session_counts c
   where c.org_id = %(org)s and c.day in ('-infinity', (now() at time zone 'utc')::date)
     and (%(projects)s::text[] is null or c.project_id = any (%(projects)s::text[]))
  union all
  select true, c.day = (now() at time zone 'utc')::date, c.sessions, c.completed, c.cost_usd
    from session_count_changes c
   where c.org_id = %(org)s
     and (%(projects)s::text[] is null or c.project_id = any (%(projects)s::text[]))
), summed as (
  select coalesce(sum(sessions) filter (where today), 0) as sessions_today,
         coalesce(sum(completed) filter (where today), 0) as completed_today,
         coalesce(sum(cost_usd) filter (where today), 0) as cost_today,
         coalesce(sum(cost_usd) filter (where ever), 0) as cost_ever
    from counted
)
select
  now() as now,
  (select count(*) from online) as workers_online,
  (select count(*) from sessions s
    where s.org_id = %(org)s and s.status in ('claimed', 'running')
      and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[])))
    as agents_working,
  (select count(*) from sessions s
    where s.org_id = %(org)s and s.status = 'pending' and s.waits_for is null
      and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[])))
    as queue_depth,
  (select coalesce(sum(greatest(0, o.capacity - (
      select count(*) from sessions s where s.slot_worker_id = o.id))), 0)
     from online o where not o.closed)
    as available_capacity,
  summed.*
from summed
"""

FOLD: Final = f"""
with due as (
  select c.org_id, c.id from session_count_changes c
   limit {MOST_FOLDED}
     for update skip locked
), gone as (
  delete from session_count_changes c using due
   where c.org_id = due.org_id and c.id = due.id
  returning c.*
), added as (
  insert into session_counts as s (org_id, day, project_id, sessions, completed, cost_usd)
  select g.org_id, d.day, g.project_id, sum(g.sessions), sum(g.completed), sum(g.cost_usd)
    from gone g cross join lateral (values (g.day), ('-infinity'::date)) as d (day)
   group by g.org_id, d.day, g.project_id
   order by g.org_id, d.day, g.project_id  -- two that fold at once take turns
  on conflict (org_id, day, project_id) do update set
    sessions = s.sessions + excluded.sessions,
    completed = s.completed + excluded.completed,
    cost_usd = s.cost_usd + excluded.cost_usd
)
select count(*) as count from gone
"""


async def read(org_id: str, projects: frozenset[str] | None, lease_seconds: float) -> Any:
    """The numbers at this moment, of the projects given or of all; one round trip."""
    (row,) = await database.hot(
        STATS,
        {
            "org": org_id,
            "projects": None if projects is None else list(projects),
            "lease": lease_seconds,
        },
    )
    return row


async def fold() -> int:
    """Add the noted changes to the counts, at most ten thousand at once; returns how many.

    A note leaves in the statement that adds it, so a reader sees it once, before and after.
    """
    (row,) = await database.hot(FOLD, {})
    return int(row.count)
