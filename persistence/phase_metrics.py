"""The phases of issues in numbers, and the counts kept for them.

An issue counts on the day of its first session, with all that became of it. A trigger notes the
issues that have something new; a job counts each of them anew and puts the difference into the
counts of its day. So reading costs as many rows as the range has days, however many sessions ran.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import text

from persistence import database

MOST_FOLDED: Final = 2_000

READ: Final = """
select c.kind, sum(c.issues)::float8 as issues, sum(c.records)::float8 as records,
       sum(c.finished)::float8 as finished, sum(c.failed)::float8 as failed,
       sum(c.cycle_ms)::float8 as cycle_ms, sum(c.cost_usd)::float8 as cost_usd
  from phase_counts c
 where c.org_id = %(org)s
   and c.day > (now() at time zone 'utc')::date - %(days)s::int
   and (%(projects)s::text[] is null or c.project_id = any (%(projects)s::text[]))
 group by c.kind
"""

TURN: Final = "select pg_advisory_xact_lock(hashtextextended('rensei/phase_counts', 0))"

# A kind is a phase, or how an issue is to be gone about after so many failed tests of its work.
FOLD: Final = f"""
with due as (
  delete from phase_changes c
   using (select org_id, id from phase_changes limit {MOST_FOLDED}) d
   where c.org_id = d.org_id and c.id = d.id
  returning c.org_id, c.project_id, c.issue_id
), issue as (
  select distinct org_id, project_id, issue_id from due
), session as (
  select s.org_id, s.project_id, s.issue_id, s.work_type, s.total_cost_usd,
         (min(s.created_at) over own at time zone 'utc')::date as day,
         case when s.claimed_at is not null then
           greatest(0, extract(epoch from s.finished_at - s.claimed_at) * 1000) end as cycle_ms,
         s.status = 'failed' or exists (
           select from completions c
            where c.org_id = s.org_id and c.session_id = s.id
              and strpos(c.summary, 'WORK_RESULT:failed') > 0) as failed
    from issue i join sessions s using (org_id, project_id, issue_id)
  window own as (partition by s.org_id, s.project_id, s.issue_id)
), counted as (
  select org_id, project_id, issue_id, day, work_type as kind, 1 as issues, count(*) as records,
         count(cycle_ms) as finished, count(*) filter (where failed) as failed,
         coalesce(sum(cycle_ms), 0) as cycle_ms,
         coalesce(sum(total_cost_usd), 0)::numeric as cost_usd
    from session
   where work_type in ('development', 'qa', 'refinement', 'acceptance')
   group by org_id, project_id, issue_id, day, work_type
  union all
  select org_id, project_id, issue_id, day,
         case count(*) filter (where failed and work_type = 'qa')
           when 0 then 'normal' when 1 then 'normal' when 2 then 'context-enriched'
           when 3 then 'decompose' else 'escalate-human' end,
         1, 0, 0, 0, 0, 0
    from session
   group by org_id, project_id, issue_id, day
), change as (
  select org_id, project_id, day, kind, issues, records, finished, failed, cycle_ms, cost_usd
    from counted
  union all
  select p.org_id, p.project_id, b.day, b.kind, -b.issues, -b.records, -b.finished, -b.failed,
         -b.cycle_ms, -b.cost_usd
    from issue i join issue_phases p using (org_id, project_id, issue_id)
   cross join lateral jsonb_to_recordset(p.counted) as b (
     day date, kind text, issues bigint, records bigint, finished bigint, failed bigint,
     cycle_ms numeric, cost_usd numeric)
), added as (
  insert into phase_counts as s (org_id, day, project_id, kind, issues, records, finished, failed,
                                 cycle_ms, cost_usd)
  select org_id, day, project_id, kind, sum(issues), sum(records), sum(finished), sum(failed),
         sum(cycle_ms), sum(cost_usd)
    from change group by org_id, day, project_id, kind
  on conflict (org_id, day, project_id, kind) do update set
    issues = s.issues + excluded.issues, records = s.records + excluded.records,
    finished = s.finished + excluded.finished, failed = s.failed + excluded.failed,
    cycle_ms = s.cycle_ms + excluded.cycle_ms, cost_usd = s.cost_usd + excluded.cost_usd
), kept as (
  insert into issue_phases as p (org_id, project_id, issue_id, counted)
  select i.org_id, i.project_id, i.issue_id,
         coalesce(jsonb_agg(to_jsonb(c)) filter (where c.kind is not null), '[]')
    from issue i left join counted c using (org_id, project_id, issue_id)
   group by i.org_id, i.project_id, i.issue_id
  on conflict (org_id, project_id, issue_id) do update set counted = excluded.counted
)
select count(*) from due
"""


async def read(org_id: str, projects: frozenset[str] | None, days: int) -> Sequence[Any]:
    """The sums of each kind over the issues of the last days, today included."""
    listed = None if projects is None else list(projects)
    return await database.hot(READ, {"org": org_id, "projects": listed, "days": days})


async def fold() -> int:
    """Count anew up to two thousand notes' issues; returns how many notes there were.

    Whoever folds at the same time waits, and then sees what this has counted.
    """
    async with database.transaction() as db:
        await db.execute(text(TURN))
        return int(await db.scalar(text(FOLD)))
