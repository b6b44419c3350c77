"""What agents did, as people and programs read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Unauthenticated
from domain.principal import Principal
from persistence import database

MOST_NUMBER: Final = 2**63 - 1

# Walked one by one, so that of long activities no more are read than are shown. Inputs and outputs
# of tools are longer still, and no reader is shown them.
_NEXT: Final = """
    select a.org_id, a.session_id, a.seq, a.stored_at,
           (a.activity - '{toolInput,toolOutput}'::text[])::text as activity
      from activities a
     where a.org_id = %s.org_id and a.session_id = %s.%s and a.seq > %s
     order by a.seq
     limit 1
"""
_LATER: Final = f"""
later as (
  select n.*, length(n.activity) as total, 1 as place
    from found f cross join lateral ({_NEXT % ("f", "f", "id", "%(after)s")}) n
  union all
  select n.*, l.total + length(n.activity), l.place + 1
    from later l cross join lateral ({_NEXT % ("l", "l", "session_id", "l.seq")}) n
   where l.place < %(most)s and l.total < %(bytes)s
)
"""

READ: Final = f"""
with recursive credential as (
  select case
    when %(worker)s::text is not null then exists (
      select 1 from workers w where w.id = %(worker)s and w.registration_id = %(registration)s
         and w.revoked_at is null)
    when %(registration)s::text is not null then exists (
      select 1 from api_keys k where k.id = %(registration)s and k.revoked_at is null)
    else true end as alive
), found as (
  select s.org_id, s.id, s.status, s.activity_count
    from sessions s, credential
   where credential.alive and s.org_id = %(org)s
     and (s.id = %(session)s or (%(by_public_id)s::boolean and s.public_id = %(session)s))
     and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[]))
   order by s.id = %(session)s desc
   limit 1
), {_LATER}
select c.alive, f.org_id, f.id, f.status, f.activity_count, l.seq, l.stored_at, l.activity
  from credential c left join found f on true left join later l on true
 order by l.seq
"""

# The tracker's ids are unique within an organization. Were one in two that allow links, the
# session that was there first is meant, so that nobody can put another in its place.
READ_BY_LINK: Final = f"""
with recursive found as (
  select s.org_id, s.id, s.status, s.activity_count
    from organizations o join sessions s on s.org_id = o.id
   where o.session_hash_links and s.id = %(session)s
   order by s.created_at, s.org_id
   limit 1
), {_LATER}
select true as alive, f.org_id, f.id, f.status, f.activity_count, l.seq, l.stored_at, l.activity
  from found f left join later l on true
 order by l.seq
"""

STANDING: Final = """
select s.org_id, s.id, s.status, s.activity_count
  from unnest(%(orgs)s::text[], %(sessions)s::text[]) as w (org_id, id)
  join sessions s on s.org_id = w.org_id and s.id = w.id
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much one reading may bring: always one activity, and no more than either says."""

    activities: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Feed:
    """A session and its activities after some number, all seen at one moment.

    `count` is the number of the session's last activity; each row of `activities` has `seq`,
    `stored_at` and `activity`, the JSON text of what was posted.
    """

    org_id: str
    session_id: str
    status: str
    count: int
    activities: Sequence[Any]


async def read(
    user: Principal,
    projects: frozenset[str] | None,
    session_id: str,
    after: int,
    size: Size,
    *,
    by_public_id: bool,
) -> Feed | None:
    """The activities of a visible session after a number; None when none is visible.

    One round trip, which also looks whether the credential is still alive; raises
    `Unauthenticated` when it is not.
    """
    rows = await database.hot(
        READ,
        {
            "org": user.org_id,
            "worker": user.worker_id,
            "registration": user.registration_id,
            "projects": None if projects is None else list(projects),
            "session": session_id,
            "by_public_id": by_public_id,
            **_after(after, size),
        },
    )
    if not rows[0].alive:
        raise Unauthenticated("The credential was revoked")
    return _feed(rows)


async def read_by_link(session_id: str, after: int, size: Size) -> Feed | None:
    """The same for who has a session's link; None where no organization allows that."""
    return _feed(await database.hot(READ_BY_LINK, {"session": session_id, **_after(after, size)}))


async def standing(keys: Sequence[tuple[str, str]]) -> Sequence[Any]:
    """Status and number of activities of many sessions, named by organization and id."""
    orgs, sessions = zip(*keys, strict=True)
    return await database.hot(STANDING, {"orgs": list(orgs), "sessions": list(sessions)})


def _after(after: int, size: Size) -> dict[str, int]:
    return {"after": min(after, MOST_NUMBER), "most": size.activities, "bytes": size.bytes}


def _feed(rows: Sequence[Any]) -> Feed | None:
    if not rows or rows[0].id is None:
        return None
    first = rows[0]
    activities = [row for row in rows if row.seq is not None]
    return Feed(first.org_id, first.id, first.status, first.activity_count, activities)
