"""What agents do, step by step."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from persistence import database

REPEAT_MINUTES: Final = 10

STORE: Final = """
with me as (
  select w.id, w.project_id from workers w
   where w.id = %(worker)s and w.org_id = %(org)s and w.registration_id = %(registration)s
     and w.revoked_at is null
), held as (
  select s.activity_count, s.provider_session_id from sessions s, me
   where s.org_id = %(org)s and s.id = %(session)s
     and s.worker_id = me.id and s.project_id = me.project_id and s.status <> 'pending'
     and (%(epoch)s::integer is null or s.lease_epoch = %(epoch)s)
     for update of s
), stored as (
  insert into activities (org_id, session_id, seq, type, activity, repeat_key)
  select %(org)s, %(session)s, held.activity_count + 1, %(type)s, %(activity)s::jsonb,
         %(repeat)s::bytea
    from held
  on conflict (org_id, session_id, repeat_key) where repeat_key is not null do nothing
  returning seq
), told as (
  insert into outbox (org_id, session_id, kind, payload)
  select %(org)s, %(session)s, 'activity', %(told)s::jsonb
    from held, stored
   where %(told)s::jsonb is not null
     -- As `agent_session_of` has it: such a session is bound to nothing that could be told.
     and coalesce(held.provider_session_id, %(session)s) not like 'governor-%%'
), counted as (
  update sessions s
     set activity_count = stored.seq, last_call_at = now(), updated_at = now(), confirmed = true,
         last_tool_name = coalesce(%(tool)s, s.last_tool_name),
         last_tool_called_at = case
           when %(tool)s::text is null or s.last_tool_name = %(tool)s then s.last_tool_called_at
           else now() end,
         tool_call_count = case when %(tool)s::text is null then s.tool_call_count
           when s.last_tool_name = %(tool)s then s.tool_call_count + 1 else 1 end
    from stored
   where s.org_id = %(org)s and s.id = %(session)s
)
select exists (select 1 from held) as held, (select provider_session_id from held),
       (select seq from stored) as seq
"""

FORGET: Final = f"""
update activities set repeat_key = null
 where org_id = %(org)s and session_id = %(session)s and repeat_key = %(repeat)s::bytea
   and stored_at < now() - interval '{REPEAT_MINUTES} minutes'
returning seq
"""

MOST_SESSIONS: Final = 10
MOST_OF_EACH: Final = 200

# A session has lost all when nothing more is found. Whoever begins it again, or posts to it, waits
# for its row meanwhile.
PRUNE: Final = f"""
with due as (
  select s.org_id, s.id from sessions s
   where s.finished_at < now() - make_interval(secs => %(kept)s)
     and (s.activities_pruned_at is null or s.activities_pruned_at < s.finished_at)
     and s.status in ('completed', 'failed', 'stopped')
   order by s.finished_at
   limit {MOST_SESSIONS}
     for no key update skip locked
), old as (
  select due.org_id, due.id, a.place
    from due
   cross join lateral (
     select ctid as place from activities
      where org_id = due.org_id and session_id = due.id
      order by seq
      limit {MOST_OF_EACH}) a
), gone as (
  delete from activities where ctid = any (array(select place from old)) returning 1
), done as (
  update sessions s set activities_pruned_at = now()
    from due
   where s.org_id = due.org_id and s.id = due.id
     and not exists (select 1 from old where old.org_id = due.org_id and old.id = due.id)
)
select count(*) as count from due
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An activity that is stored, now or before, and what its session is bound to."""

    provider_session_id: str | None


async def store(
    org_id: str,
    session_id: str,
    worker_id: str,
    registration_id: str,
    lease_epoch: int | None,
    activity: dict[str, Any],
    repeat_key: bytes | None,
    *,
    forget: bool = True,
    told: dict[str, Any] | None = None,
) -> Stored | None:
    """Store one activity in one round trip; None when the worker does not hold the session.

    Posts of one session wait for each other on its row, so the numbers have no gap. A post whose
    `repeat_key` was seen within ten minutes is not stored again; without `forget`, never. With
    `told`, which is the activity in the tracker's words, a stored one enters the outbox as well.
    """
    values = {
        "org": org_id,
        "session": session_id,
        "worker": worker_id,
        "registration": registration_id,
        "epoch": lease_epoch,
        "type": activity["type"],
        "activity": orjson.dumps(activity).decode(),
        "repeat": repeat_key,
        "told": None if told is None else orjson.dumps({"content": told}).decode(),
        "tool": activity.get("toolName") if activity["type"] == "action" else None,
    }
    (row,) = await database.hot(STORE, values)
    if row.held and row.seq is None and forget and await database.hot(FORGET, values):
        (row,) = await database.hot(STORE, values)
    return Stored(row.provider_session_id) if row.held else None


async def prune(kept_seconds: float) -> int:
    """Remove some activities of a few sessions that ended longer ago; returns how many sessions.

    The session and its count stay, so that readers see what is missing and the next activity has
    the next number.
    """
    (row,) = await database.hot(PRUNE, {"kept": kept_seconds})
    return int(row.count)
