"""Who may follow rotations, and how many do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy import func as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.credentials import Scope
from persistence import database
from persistence.tables import credential_streams

TOLD_SECONDS: Final = 15
"""How long a process that has told how many streams it has is believed."""

# A session that was lost and waits is still its last owner's, as in `sessions.lock`.
STANDING: Final = """
select w.place,
       case
         when w.worker is not null then exists (
           select 1 from workers k where k.id = w.worker and k.registration_id = w.registration
              and k.revoked_at is null)
         else exists (
           select 1 from api_keys k where k.id = w.registration and k.revoked_at is null
              and (k.expires_at is null or k.expires_at > now()))
         end as alive,
       s.project_id, s.status,
       exists (
         select 1 from workers h
          where h.id = coalesce(s.worker_id, s.lost_by_worker_id)
            and h.org_id = s.org_id and h.project_id = s.project_id
            and h.registration_id = w.registration and h.revoked_at is null
            and (w.worker is null or h.id = w.worker)) as holds,
       coalesce(f.last_number, 0) as last_number
  from unnest(%(places)s::int[], %(orgs)s::text[], %(sessions)s::text[], %(workers)s::text[],
              %(registrations)s::text[])
       as w (place, org, session, worker, registration)
  left join sessions s on s.org_id = w.org and s.id = w.session
  left join credential_feeds f on f.org_id = w.org
"""

LAST: Final = """
select org_id, last_number from credential_feeds where org_id = any (%(orgs)s::text[])
"""

# One row for each scope that the process serves; the rest, and those of the dead, go.
TELL: Final = """
with now_open as (
  select * from unnest(%(orgs)s::text[], %(projects)s::text[], %(envs)s::text[], %(counts)s::int[])
    as n (org_id, project_id, env_name, streams)
), gone as (
  delete from credential_streams t
   where t.seen_at < now() - interval '10 minutes' and t.process_id <> %(process)s
      or t.process_id = %(process)s and not exists (
           select 1 from now_open n where n.org_id = t.org_id and n.project_id = t.project_id
              and n.env_name = t.env_name)
)
insert into credential_streams (process_id, org_id, project_id, env_name, streams)
select %(process)s, org_id, project_id, env_name, streams from now_open
on conflict (process_id, org_id, project_id, env_name)
  do update set streams = excluded.streams, seen_at = now()
returning 1
"""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A credential that wants to follow rotations for a session."""

    org_id: str
    session_id: str
    worker_id: str | None
    registration_id: str | None


async def standing(subscribers: Sequence[Subscriber]) -> Sequence[Any]:
    """How each stands now, in the same order, in one round trip.

    `alive` is about the credential and `holds` about the session, which is the caller's or is not;
    `project_id` and `status` are None where the organization has no such session.
    """
    rows = await database.hot(
        STANDING,
        {
            "places": list(range(len(subscribers))),
            "orgs": [each.org_id for each in subscribers],
            "sessions": [each.session_id for each in subscribers],
            "workers": [each.worker_id for each in subscribers],
            "registrations": [each.registration_id for each in subscribers],
        },
    )
    return sorted(rows, key=lambda row: row.place)


async def last_numbers(org_ids: Sequence[str]) -> dict[str, int]:
    """The number of each organization's last rotation; those that never had one are left out."""
    rows = await database.hot(LAST, {"orgs": list(org_ids)})
    return {row.org_id: row.last_number for row in rows}


async def tell(process_id: str, streams: Mapping[Scope, int]) -> None:
    """Say how many streams this process has open in which scope."""
    await database.hot(
        TELL,
        {
            "process": process_id,
            "orgs": [scope.org_id for scope in streams],
            "projects": [scope.project_id for scope in streams],
            "envs": [scope.env_name for scope in streams],
            "counts": list(streams.values()),
        },
    )


async def elsewhere(db: AsyncConnection, org_id: str, process_id: str) -> list[Row[Any]]:
    """`project_id`, `env_name` and `streams` of the other living processes."""
    told = credential_streams.c
    alive = told.seen_at > sql.now() - sql.make_interval(0, 0, 0, 0, 0, 0, TOLD_SECONDS)
    return list(
        await db.execute(
            select(told.project_id, told.env_name, told.streams).where(
                told.org_id == org_id, told.process_id != process_id, alive
            )
        )
    )
