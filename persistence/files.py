"""Reserved files: who of an organization's sessions works on which file of a repository.

Each call is one statement. It holds the session's row first, so that a session which ends
meanwhile keeps nothing, and then, if it writes, waits for its turn in the organization: sessions
that want each other's files never wait for one another in a circle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from persistence import database

_CALLED: Final = """
called as (
  update sessions s set last_call_at = now(), confirmed = true
    from workers w
   where s.org_id = %(org)s and s.id = %(session)s and w.id = s.worker_id
     and w.org_id = s.org_id and w.project_id = s.project_id
     and w.registration_id = %(registration)s and w.revoked_at is null
     and (%(worker)s::text is null or s.worker_id = %(worker)s)
     and (%(epoch)s::integer is null or s.lease_epoch = %(epoch)s)
     and s.status {status}
  returning s.org_id, s.id, s.project_id, s.work
)"""
_AT_WORK: Final = _CALLED.format(status="in ('claimed', 'running', 'finalizing')")
_EVER_HELD: Final = _CALLED.format(status="<> 'pending'")

# Sessions of several projects share a repository; one that names none has its project's to itself.
_REPOSITORY: Final = """
coalesce(
  nullif(repository_key(coalesce(nullif(c.work ->> 'repository', ''), p.repository)), ''),
  'project ' || p.id)"""

# `free_files` in the schema takes the same lock.
_TURN: Final = "pg_advisory_xact_lock(hashtextextended('files/' || c.org_id, 0))"

_FILE_KEY: Final = "sha256(convert_to(t.repository || E'\\n' || wanted.path, 'UTF8'))"

# A file of somebody else's is written as it was, so that its holder is known even when the row
# is younger than this statement.
RESERVE: Final = f"""
with {_AT_WORK}, turn as (
  select c.org_id, c.id, {_REPOSITORY} as repository, {_TURN}
    from called c join projects p on p.id = c.project_id
), settled as (
  insert into file_reservations as f
         (org_id, file_key, repository, path, session_id, reason, expires_at)
  select t.org_id, {_FILE_KEY}, t.repository, wanted.path, t.id,
         %(reason)s, now() + make_interval(secs => %(ttl)s)
    from turn t, unnest(%(paths)s::text[]) as wanted (path)
  on conflict (org_id, file_key) do update set
    session_id = case when f.expires_at <= now() then excluded.session_id else f.session_id end,
    reserved_at = case when f.expires_at <= now() then excluded.reserved_at else f.reserved_at end,
    reason = case when f.expires_at <= now() or f.session_id = excluded.session_id
      then excluded.reason else f.reason end,
    expires_at = case when f.expires_at <= now() or f.session_id = excluded.session_id
      then excluded.expires_at else f.expires_at end
  returning f.path, f.session_id, f.reserved_at, f.reason, f.repository
)
select exists (select 1 from called) as held, settled.*
  from (select 1) one left join settled on true
"""

RELEASE: Final = f"""
with {_EVER_HELD}, turn as (
  select c.org_id, c.id, {_TURN} from called c
), gone as (
  delete from file_reservations f using turn t
   where f.org_id = t.org_id and f.session_id = t.id
     and (%(paths)s::text[] is null or f.path = any (%(paths)s::text[]))
  returning f.expires_at > now() as was_held
)
select exists (select 1 from called) as held,
       (select count(*) from gone where was_held) as released
"""

CONFLICTS: Final = f"""
with {_EVER_HELD}, place as (
  select c.org_id, c.id, {_REPOSITORY} as repository
    from called c join projects p on p.id = c.project_id
), taken as (
  select f.path, f.session_id, f.reserved_at, f.reason, f.repository
    from place t, unnest(%(paths)s::text[]) as wanted (path), file_reservations f
   where f.org_id = t.org_id
     and f.file_key = {_FILE_KEY}
     and f.session_id <> t.id and f.expires_at > now()
)
select exists (select 1 from called) as held, taken.*
  from (select 1) one left join taken on true
"""


@dataclass(frozen=True, slots=True)
class Call:
    """Whose call it is about which session; `worker_id` None stands for whichever holds it."""

    org_id: str
    session_id: str
    registration_id: str
    worker_id: str | None
    lease_epoch: int | None


async def reserve(
    call: Call, paths: Sequence[str], reason: str | None, ttl_seconds: int
) -> list[Any] | None:
    """Reserve what is free of the paths, each given once; None when the caller works on no such
    session.

    The rows say who holds each file now: this session, or the one that was first.
    """
    rows = await database.hot(
        RESERVE, {**_values(call), "paths": list(paths), "reason": reason, "ttl": ttl_seconds}
    )
    return _files(rows)


async def release(call: Call, paths: Sequence[str] | None) -> int | None:
    """Give the paths back, all for None; how many were held, or None without such a session."""
    values = {**_values(call), "paths": None if paths is None else list(paths)}
    (row,) = await database.hot(RELEASE, values)
    return int(row.released) if row.held else None


async def conflicts(call: Call, paths: Sequence[str]) -> list[Any] | None:
    """Which of the paths other sessions have reserved; None when the caller holds no such
    session."""
    return _files(await database.hot(CONFLICTS, {**_values(call), "paths": list(paths)}))


def _files(rows: Sequence[Any]) -> list[Any] | None:
    return [row for row in rows if row.path is not None] if rows[0].held else None


def _values(call: Call) -> dict[str, Any]:
    return {
        "org": call.org_id,
        "session": call.session_id,
        "registration": call.registration_id,
        "worker": call.worker_id,
        "epoch": call.lease_epoch,
    }
