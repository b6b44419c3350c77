"""What agents do, step by step."""

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
  select s.activity_count from sessions s, me
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
), counted as (
  update sessions s set activity_count = stored.seq, last_call_at = now(), updated_at = now()
    from stored
   where s.org_id = %(org)s and s.id = %(session)s
)
select exists (select 1 from held) as held, (select seq from stored) as seq
"""

FORGET: Final = f"""
update activities set repeat_key = null
 where org_id = %(org)s and session_id = %(session)s and repeat_key = %(repeat)s::bytea
   and stored_at < now() - interval '{REPEAT_MINUTES} minutes'
returning seq
"""


async def store(
    org_id: str,
    session_id: str,
    worker_id: str,
    registration_id: str,
    lease_epoch: int | None,
    activity: dict[str, Any],
    repeat_key: bytes | None,
) -> bool:
    """Store one activity in one round trip; False when the worker does not hold the session.

    Posts of one session wait for each other on its row, so the numbers have no gap. A post whose
    `repeat_key` was seen within ten minutes is not stored again.
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
    }
    (row,) = await database.hot(STORE, values)
    if row.held and row.seq is None and await database.hot(FORGET, values):
        (row,) = await database.hot(STORE, values)
    return bool(row.held)
