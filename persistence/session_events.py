"""What became of an organization's sessions, event by event, in the order it could be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from persistence import database

NUMBER: Final = "select number_session_events() as count"

# All of it is seen at one moment, so no event up to `last_seq` is missing for want of a commit.
READ: Final = """
select coalesce(f.last_seq, 0) as last_seq, k.first_seq, e.*
  from (select 1) one
  left join event_feeds f on f.org_id = %(org)s
  left join lateral (
    select s.seq as first_seq from session_events s
     where s.org_id = %(org)s and s.seq > %(after)s order by s.seq limit 1) k on true
  left join lateral (
    select s.seq, s.public_id, s.session_id, s.project_id, s.issue_identifier, s.work_type,
           s.previous, s.status, s.at
      from session_events s
     where s.org_id = %(org)s and s.seq > %(after)s
       and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[]))
     order by s.seq limit %(most)s) e on true
 order by e.seq
"""

STANDING: Final = "select org_id, last_seq from event_feeds where org_id = any (%(orgs)s::text[])"

MOST_ORGANIZATIONS: Final = 10
MOST_PRUNED: Final = 1_000

# From the front of some organizations that have an old one there, up to the last old one, so that
# no hole is left among those that stay. By their places, which are looked up however many stay.
PRUNE: Final = f"""
with front as (
  select e.place, e.seq <= e.last_old as goes
    from (select f.org_id from event_feeds f
           where (select at from session_events
                   where org_id = f.org_id and seq is not null order by seq limit 1)
                 < now() - make_interval(secs => %(kept)s)
           limit {MOST_ORGANIZATIONS}) due
   cross join lateral (
     select n.place, n.seq,
            max(n.seq) filter (where n.at < now() - make_interval(secs => %(kept)s)) over ()
              as last_old
       from (select ctid as place, seq, at from session_events
              where org_id = due.org_id and seq is not null
              order by seq limit {MOST_PRUNED}) n) e
), gone as (
  delete from session_events where ctid = any (array(select place from front where goes))
  returning 1
)
select count(*) as count from gone
"""


@dataclass(frozen=True, slots=True)
class Feed:
    """Events after some number.

    `last` is the number of the organization's last event, `first` that of the first one kept after
    the number asked for, whoever may see it; None when none is kept.
    """

    last: int
    first: int | None
    events: Sequence[Any]


async def number() -> int:
    """Number what was committed since the last time; returns how many events there were."""
    (row,) = await database.hot(NUMBER, {})
    return int(row.count)


async def read(org_id: str, projects: frozenset[str] | None, after: int, most: int) -> Feed:
    """The numbered events after a number, of the projects given or of all."""
    rows = await database.hot(
        READ,
        {
            "org": org_id,
            "projects": None if projects is None else list(projects),
            "after": after,
            "most": most,
        },
    )
    events = [row for row in rows if row.seq is not None]
    return Feed(rows[0].last_seq, rows[0].first_seq, events)


async def standing(org_ids: Sequence[str]) -> Mapping[str, int]:
    """The number of the last event of each of these organizations that has had one."""
    rows = await database.hot(STANDING, {"orgs": list(org_ids)})
    return {row.org_id: row.last_seq for row in rows}


async def prune(kept_seconds: float) -> int:
    """Drop events that are older than that, at most a thousand of each of ten organizations.

    Returns how many there were.
    """
    (row,) = await database.hot(PRUNE, {"kept": kept_seconds})
    return int(row.count)
