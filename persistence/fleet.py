"""What an operator sees at a glance: one statement for all parts of the fleet page.

Every part is bounded: what is live is counted by index, what has ended is looked at for a day and
at most so many rows, and lists show the first few. So the page costs as much after years as on the
first day. All instants leave as seconds before now, by the database's clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from persistence import database

WORKERS_SHOWN: Final = 12
SILENT_SHOWN: Final = 4
CELLS_SHOWN: Final = 1_000
SESSIONS_SHOWN: Final = 16
EVENTS_SHOWN: Final = 18
WEBHOOKS_SHOWN: Final = 8

MOST_LOOKED_AT: Final = 10_000
"""How many ended or queued sessions of the last day the sums and charts are made of."""

MOST_EVENTS_LOOKED_AT: Final = 2_000
"""How far back the latest events of some projects are looked for among those of all."""

MOST_COUNTED: Final = 1_000
"""Up to where webhooks in trouble are counted."""

REMEMBERED_SECONDS: Final = 900
"""How long a worker that has fallen silent is shown."""

_PROJECTS: Final = "(%(projects)s::text[] is null or {0}.project_id = any (%(projects)s::text[]))"

_SHOWN: Final = """
select s.public_id, s.issue_identifier, s.issue_title, s.work_type, s.status, s.waits_for,
       s.priority, s.queued_at, s.claimed_at, s.finished_at, s.total_cost_usd, s.worker_id,
       s.failure_reason, s.last_tool_called_at, s.tool_call_count, s.slot_worker_id
"""

# Of each part no more is read than it shows: a part that names none of these costs nothing.
_COMMON: Final = f"""
with fleet as (
  select w.id, w.hostname, w.version, w.region, w.capacity, w.project_id, w.registered_at,
         extract(epoch from now() - w.last_heartbeat_at)::double precision as beat_seconds,
         w.last_heartbeat_at > now() - make_interval(secs => %(lease)s) as alive,
         w.status = 'draining' or w.retired_at is not null as closed,
         (select count(*) from sessions s where s.slot_worker_id = w.id) as held
    from workers w
   where w.org_id = %(org)s and {_PROJECTS.format("w")}
     and w.seen_on >= (now() at time zone 'utc')::date - 1
     and w.last_heartbeat_at > now() - make_interval(secs => greatest(
           %(lease)s::double precision, {REMEMBERED_SECONDS}))
     and w.revoked_at is null
), waiting as (
  select s.priority, s.queued_at from sessions s
   where s.org_id = %(org)s and {_PROJECTS.format("s")}
     and s.status = 'pending' and s.waits_for is null
), working as (
  {_SHOWN} from sessions s
   where s.org_id = %(org)s and {_PROJECTS.format("s")} and s.status in ('claimed', 'running')
  union all
  {_SHOWN} from sessions s
   where s.org_id = %(org)s and {_PROJECTS.format("s")} and s.status = 'finalizing'
), since as (
  select coalesce((
    select s.finished_at from sessions s
     where s.org_id = %(org)s and s.finished_at > now() - interval '1 day'
     order by s.finished_at desc offset {MOST_LOOKED_AT} limit 1), now() - interval '1 day') as at
), ended as (
  select s.status, s.finished_at, s.total_cost_usd
    from sessions s
   where s.org_id = %(org)s and {_PROJECTS.format("s")}
     -- Said twice: of the first the planner knows how few that are.
     and s.finished_at > now() - interval '1 day' and s.finished_at > (select at from since)
     and s.status in ('completed', 'failed', 'stopped')
)
"""

_WHO: Final = """
select json_build_object('org', o.name, 'key', k.name)
  from organizations o left join api_keys k on k.org_id = o.id and k.id = %(key)s
 where o.id = %(org)s
"""

_WORKERS: Final = f"""
select json_build_object(
  'online', count(*) filter (where alive),
  'silent', count(*) filter (where not alive),
  'closed', count(*) filter (where alive and closed),
  'capacity', coalesce(sum(capacity) filter (where alive and not closed), 0),
  'held', coalesce(sum(held) filter (where alive), 0),
  'cells', (select coalesce(string_agg(case
      when not c.alive then 's' when c.closed then 'c' when c.held = 0 then 'i'
      when c.held < c.capacity then 'b' else 'f' end, '' order by c.hostname, c.id), '')
     from (select * from fleet order by hostname, id limit {CELLS_SHOWN}) c),
  'rows', (select json_agg(r) from (
     select f.id, f.hostname, f.version, f.region, f.capacity, f.held, f.alive, f.closed,
            f.beat_seconds, p.name as project
       from (
         (select * from fleet where not alive order by beat_seconds, id limit {SILENT_SHOWN})
         union all
         (select * from fleet where alive
           order by held::double precision / greatest(capacity, 1) desc, hostname, id
           limit {WORKERS_SHOWN})) f
       join projects p on p.org_id = %(org)s and p.id = f.project_id
      order by f.alive, case when not f.alive then f.beat_seconds end,
               f.held::double precision / greatest(f.capacity, 1) desc, f.hostname, f.id
      limit {WORKERS_SHOWN}) r)
) from fleet
"""

_QUEUE: Final = f"""
select json_build_object(
  'depth', coalesce(sum(count), 0),
  'oldest_seconds', extract(epoch from now() - min(oldest))::double precision,
  'by_priority', json_agg(json_build_array(priority, count) order by priority),
  'behind', (select count(*) from sessions s
     where s.org_id = %(org)s and {_PROJECTS.format("s")} and s.waits_for = 'issue'),
  'person', (select count(*) from sessions s
     where s.org_id = %(org)s and {_PROJECTS.format("s")} and s.waits_for = 'person')
) from (select priority, count(*) as count, min(queued_at) as oldest from waiting group by 1) q
"""

_STATES: Final = f"""
select json_build_object(
  'working', (select json_build_array(count(*), coalesce(sum(total_cost_usd), 0)) from working),
  'ended', (select json_object_agg(status, json_build_array(count, cost)) from (
     select status, count(*) as count, coalesce(sum(total_cost_usd), 0) as cost
       from ended group by 1) e),
  'more', (select at from since) > now() - interval '1 day',
  'cost_today', coalesce(sum(c.cost_usd) filter (where c.today), 0)::double precision,
  'cost_ever', coalesce(sum(c.cost_usd) filter (where c.ever), 0)::double precision,
  'completed_ever', coalesce(sum(c.completed) filter (where c.ever), 0)
) from (
  select c.day = '-infinity' as ever, c.day <> '-infinity' as today, c.completed, c.cost_usd
    from session_counts c
   where c.org_id = %(org)s and c.day in ('-infinity', (now() at time zone 'utc')::date)
     and {_PROJECTS.format("c")}
  union all
  select true, c.day = (now() at time zone 'utc')::date, c.completed, c.cost_usd
    from session_count_changes c
   where c.org_id = %(org)s and {_PROJECTS.format("c")}
) c
"""

# The columns of a chart are as wide as the clock's, so that they stay what they are while the
# newest one grows. A session that still waits counts with what it has waited so far; one that came
# back from a lost worker does not, for its wait was over once.
_CHARTS: Final = f"""
select json_build_object(
  'now', extract(epoch from now())::double precision,
  'ended', (select json_agg(json_build_array(slot, status, count)) from (
     select floor(extract(epoch from e.finished_at)::double precision
                  / %(column)s)::bigint as slot, e.status,
            count(*) as count
       from ended e where e.finished_at > now() - make_interval(secs => %(span)s)
      group by 1, 2) t),
  'waits', (select json_agg(json_build_array(slot, count, half, most)) from (
     select floor(extract(epoch from q.queued_at)::double precision
                  / %(column)s)::bigint as slot,
            count(*) as count,
            percentile_cont(0.5) within group (order by q.seconds) as half,
            percentile_cont(0.95) within group (order by q.seconds) as most
       from (
         select s.queued_at,
                extract(epoch from coalesce(s.claimed_at, now()) - s.queued_at)::double precision
                  as seconds
           from sessions s
          where s.org_id = %(org)s and {_PROJECTS.format("s")}
            and s.queued_at > now() - make_interval(secs => %(span)s)
            and s.attempts = 0
            and (s.claimed_at is not null or (s.status = 'pending' and s.waits_for is null))
          order by s.queued_at desc limit {MOST_LOOKED_AT}) q
      group by 1) w)
)
"""

_FEED: Final = f"""
select json_agg(e) from (
  select l.id, l.public_id, l.issue_identifier, l.work_type, l.previous, l.status,
         extract(epoch from now() - l.at)::double precision as seconds
    from (select * from session_events s where s.org_id = %(org)s
           order by s.id desc limit {MOST_EVENTS_LOOKED_AT}) l
   where {_PROJECTS.format("l")}
   order by l.id desc limit {EVENTS_SHOWN}) e
"""

_OF_ORG: Final = f"from sessions s where s.org_id = %(org)s and {_PROJECTS.format('s')}"

_ENDED: Final = f"""
{_SHOWN} from (
  select * from sessions s where s.org_id = %(org)s and {_PROJECTS.format("s")}
     and s.finished_at > now() - interval '1 day' and s.finished_at is not null
   order by s.finished_at desc limit {MOST_LOOKED_AT}) s
 where s.status = %(state)s order by s.finished_at desc limit {SESSIONS_SHOWN}
"""

# By the state chosen. Without one those at work come first, then the newest of all.
_LISTS: Final[Mapping[str, str]] = {
    "working": f"{_SHOWN} from working s order by s.claimed_at limit {SESSIONS_SHOWN}",
    "queued": f"{_SHOWN} {_OF_ORG} and s.status = 'pending' and s.waits_for is null"
    f" order by s.priority, s.queued_at limit {SESSIONS_SHOWN}",
    "parked": f"({_SHOWN} {_OF_ORG} and s.waits_for = 'person'"
    f" order by s.queued_at limit {SESSIONS_SHOWN}) union all ({_SHOWN} {_OF_ORG}"
    f" and s.waits_for = 'issue' order by s.priority, s.queued_at limit {SESSIONS_SHOWN})",
    "completed": _ENDED,
    "failed": _ENDED,
    "stopped": _ENDED,
    "": f"({_SHOWN} from working s order by s.claimed_at limit {SESSIONS_SHOWN}) union"
    f" ({_SHOWN} {_OF_ORG} order by s.queued_at desc, s.public_id desc limit {SESSIONS_SHOWN})",
}

STATES: Final = tuple(state for state in _LISTS if state)

_SESSION_COLUMNS: Final = """
       s.public_id, s.issue_identifier, s.issue_title, s.work_type, s.status, s.waits_for,
       s.priority, s.total_cost_usd, s.failure_reason, s.tool_call_count, s.worker_id,
       w.hostname, now() as now, s.queued_at, s.claimed_at, s.finished_at, s.last_tool_called_at,
       h.last_heartbeat_at
"""

_SESSIONS: Final = f"""
select json_agg(r) from (
  select {_SESSION_COLUMNS}
    from ({{chosen}}) s
    left join workers w on w.id = s.worker_id
    left join workers h on h.id = s.slot_worker_id
   order by s.waits_for is distinct from 'person',
            s.status not in ('claimed', 'running', 'finalizing'),
            case when s.status in ('claimed', 'running', 'finalizing') then s.claimed_at end,
            case when %(state)s in ('queued', 'parked') then s.priority end,
            case when %(state)s in ('queued', 'parked') then s.queued_at end,
            coalesce(s.finished_at, s.queued_at) desc
   limit {SESSIONS_SHOWN}) r
"""

_WEBHOOKS: Final = f"""
select json_build_object(
  'counts', (select json_object_agg(status, count) from (
     select status, count(*) as count from (
       select e.status from webhook_events e
        where e.org_id = %(org)s and e.status not in ('received', 'done')
        order by e.received_at desc limit {MOST_COUNTED}) t group by 1) c),
  'rows', (select json_agg(r) from (
     select e.id, e.provider, e.type, e.event_name, e.status, e.outcome, e.attempts,
            extract(epoch from now() - e.received_at)::double precision as seconds
       from webhook_events e
      where e.org_id = %(org)s and e.status not in ('received', 'done')
      order by e.received_at desc, e.id desc limit {WEBHOOKS_SHOWN}) r))
"""

_PARTS: Final[Mapping[str, str]] = {
    "who": _WHO,
    "workers": _WORKERS,
    "queue": _QUEUE,
    "states": _STATES,
    "charts": _CHARTS,
    "feed": _FEED,
    "sessions": _SESSIONS,
    "webhooks": _WEBHOOKS,
}

SESSION: Final = f"""
select {_SESSION_COLUMNS}, s.id, s.provider, s.input_tokens, s.output_tokens, s.created_at,
       s.activity_count, s.attempts, s.nacks, s.worktree_path, s.lease_epoch, p.name as project,
       (select json_agg(a) from (
          select a.seq, a.type, left(a.activity ->> 'content', %(most_text)s) as content,
                 a.activity ->> 'toolName' as tool,
                 extract(epoch from now() - a.stored_at)::double precision as seconds
            from activities a where a.org_id = s.org_id and a.session_id = s.id
           order by a.seq desc limit %(most_activities)s) a) as activities
  from sessions s
  join projects p on p.org_id = s.org_id and p.id = s.project_id
  left join workers w on w.id = s.worker_id
  left join workers h on h.id = s.slot_worker_id
 where s.org_id = %(org)s and s.public_id = %(session)s and {_PROJECTS.format("s")}
"""

MOST_ACTIVITIES: Final = 40
MOST_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: a span of time in columns, and the state that the sessions are of."""

    span_seconds: int
    column_seconds: int
    state: str = ""


def statement(parts: Collection[str], view: View) -> str:
    """The one statement that reads these parts."""
    selected = ", ".join(
        f"({_PARTS[name].replace('{chosen}', _LISTS[view.state])}) as {name}" for name in parts
    )
    return f"{_COMMON} select {selected}"


def values(
    org_id: str, projects: frozenset[str] | None, key_id: str, lease_seconds: float, view: View
) -> dict[str, Any]:
    """What the statement is told."""
    return {
        "org": org_id,
        "projects": None if projects is None else list(projects),
        "key": key_id,
        "lease": lease_seconds,
        "column": view.column_seconds,
        "span": view.span_seconds,
        "state": view.state,
    }


async def read(
    org_id: str,
    projects: frozenset[str] | None,
    key_id: str,
    lease_seconds: float,
    parts: Collection[str],
    view: View,
) -> dict[str, Any]:
    """The parts asked for, as plain values by their names; one round trip."""
    if not parts:
        return {}
    (row,) = await database.hot(
        statement(parts, view), values(org_id, projects, key_id, lease_seconds, view)
    )
    return dict(row._asdict())


async def find_session(org_id: str, projects: frozenset[str] | None, public_id: str) -> Any | None:
    """One visible session with what its agent did last; one round trip."""
    rows = await database.hot(
        SESSION,
        {
            "org": org_id,
            "projects": None if projects is None else list(projects),
            "session": public_id,
            "most_activities": MOST_ACTIVITIES,
            "most_text": MOST_TEXT,
        },
    )
    return rows[0] if rows else None
