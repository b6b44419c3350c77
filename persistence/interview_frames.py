"""What the agents of interviews say, frame by frame: stored, read on, pruned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.interviews import LATE_SECONDS, MOST_TURNS
from persistence import database

MOST_PRUNED: Final = 20
"""Of turns, some of which have thousands of frames."""

# A new turn takes its number from the interview's row, which lets one at a time pass. Who comes
# second with the same turn gets the first one's from the conflict; a number is then left out.
STORE: Final = f"""
with held as (
  select coalesce(s.claimed_at, s.created_at) as claimed_at,
         s.status in ('claimed', 'running', 'finalizing')
           or s.finished_at > now() - interval '{LATE_SECONDS} seconds' as takes_frames
    from sessions s
    join workers w on w.id = s.worker_id and w.org_id = s.org_id and w.project_id = s.project_id
   where s.org_id = %(org)s and s.id = %(session)s and s.status <> 'pending'
     and w.registration_id = %(registration)s and w.revoked_at is null
     and (%(worker)s::text is null or w.id = %(worker)s)
     and (%(epoch)s::integer is null or s.lease_epoch = %(epoch)s)
), interview as (
  select i.turns_begun, held.claimed_at from interviews i, held
   where i.org_id = %(org)s and i.session_id = %(session)s and held.takes_frames
), known as (
  select t.number, t.pruned_to from interview_turns t, interview
   where t.org_id = %(org)s and t.session_id = %(session)s
     and t.claimed_at = interview.claimed_at and t.turn_id = %(turn)s
), numbered as (
  update interviews i set turns_begun = i.turns_begun + 1
    from interview
   where i.org_id = %(org)s and i.session_id = %(session)s
     and not exists (select 1 from known) and i.turns_begun < {MOST_TURNS}
  returning i.turns_begun, interview.claimed_at
), begun as (
  insert into interview_turns as t (org_id, session_id, number, claimed_at, turn_id)
  select %(org)s, %(session)s, n.turns_begun, n.claimed_at, %(turn)s from numbered n
  on conflict (org_id, session_id, claimed_at, turn_id) do update set turn_id = t.turn_id
  returning t.number
), turn as (
  select number from known where pruned_to is null union all select number from begun
), stored as (
  insert into interview_frames (org_id, session_id, turn, index, text, done)
  select %(org)s, %(session)s, turn.number, f.index, f.text, f.done
    from turn,
         unnest(%(indexes)s::integer[], %(texts)s::text[], %(dones)s::boolean[])
           as f (index, text, done)
  on conflict (org_id, session_id, turn, index) do nothing
), due as (
  -- Frames come ten times a second; for a lease, one write in five seconds is enough. Who holds the
  -- row may wait for the interview's, which is held here: nobody is waited for.
  select s.org_id, s.id from sessions s
   where s.org_id = %(org)s and s.id = %(session)s and exists (select 1 from held)
     and (s.last_call_at < now() - interval '5 seconds' or not s.confirmed)
     for update skip locked
), renewed as (
  update sessions s set last_call_at = now(), confirmed = true
    from due where s.org_id = due.org_id and s.id = due.id
)
select exists (select 1 from held) as held, (select takes_frames from held),
       exists (select 1 from interviews i
                where i.org_id = %(org)s and i.session_id = %(session)s) as has_interview,
       exists (select 1 from known) or exists (select 1 from begun) as has_turn
"""

# The frame at the place itself comes as well: it says whether its turn is done.
READ: Final = """
with s as (
  select s.status,
         case when s.status in ('completed', 'failed', 'stopped')
              then extract(epoch from now() - coalesce(s.finished_at, s.updated_at)) end::float8
           as ended_seconds
    from sessions s
   where s.org_id = %(org)s and s.id = %(session)s
), f as (
  select n.*, sum(octet_length(n.text)) over w - octet_length(n.text) as before
    from (
      select f.turn, f.index, f.text, f.done, f.stored_at from interview_frames f
       where f.org_id = %(org)s and f.session_id = %(session)s
         and (f.turn, f.index) >= (%(turn)s, %(index)s)
       order by f.turn, f.index
       limit %(most)s) n
  window w as (order by n.turn, n.index)
), t as (
  select t.number, t.turn_id, t.claimed_at, t.pruned_to from interview_turns t
   where t.org_id = %(org)s and t.session_id = %(session)s and t.number >= %(turn)s
   order by t.number
   limit %(most_turns)s
)
select s.status, s.ended_seconds, t.number, t.turn_id, t.claimed_at, t.pruned_to,
       f.index, f.text, f.done, extract(epoch from now() - f.stored_at)::float8 as age,
       (select count(*) from f) as frames, (select count(*) from t) as turns
  from s left join t on true
  left join f on f.turn = t.number and f.before < %(bytes)s
 order by t.number, f.index
"""

NEWS: Final = """
select w.place
  from unnest(%(orgs)s::text[], %(sessions)s::text[], %(turns)s::integer[], %(indexes)s::integer[],
              %(statuses)s::text[])
         with ordinality as w (org_id, session_id, turn, index, status, place)
  join sessions s on s.org_id = w.org_id and s.id = w.session_id
 where s.status <> w.status
    or exists (select 1 from interview_frames f
                where f.org_id = w.org_id and f.session_id = w.session_id
                  and f.turn = w.turn and f.index > w.index)
    or exists (select 1 from interview_turns t
                where t.org_id = w.org_id and t.session_id = w.session_id and t.number > w.turn)
"""

# The last turn of a session at work is left alone: more of it may come.
PRUNE: Final = f"""
with due as (
  select t.org_id, t.session_id, t.number from interview_turns t
    join sessions s on s.org_id = t.org_id and s.id = t.session_id
   where t.pruned_to is null and t.begun_at < now() - make_interval(secs => %(kept)s)
     and (s.status in ('completed', 'failed', 'stopped') or exists (
       select 1 from interview_turns later
        where later.org_id = t.org_id and later.session_id = t.session_id
          and later.number > t.number))
   order by t.begun_at
   limit {MOST_PRUNED}
     for update of t skip locked
), last as (
  select due.*, coalesce(
      (select max(f.index) from interview_frames f
        where f.org_id = due.org_id and f.session_id = due.session_id and f.turn = due.number),
      -1) as index
    from due
), gone as (
  delete from interview_frames f using due
   where f.org_id = due.org_id and f.session_id = due.session_id and f.turn = due.number
)
update interview_turns t set pruned_to = last.index
  from last
 where t.org_id = last.org_id and t.session_id = last.session_id and t.number = last.number
returning t.number
"""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who posts frames: a worker of a registration, or whichever of its workers holds the session
    when none is named."""

    org_id: str
    registration_id: str
    worker_id: str | None
    lease_epoch: int | None


@dataclass(frozen=True, slots=True)
class Portion:
    """How much one reading may bring."""

    frames: int
    bytes: int
    turns: int


async def store(
    writer: Writer, session_id: str, turn_id: str, frames: Sequence[dict[str, Any]]
) -> Any:
    """Store the frames of one turn that are not stored yet, in one round trip.

    The row says whether the worker has `held` the session, whether that `takes_frames`, whether it
    `has_interview`, and whether the interview `has_turn`, for which there may be no room.
    """
    # In one order, so that two posts of the same frames never wait for each other in turn.
    ordered = sorted(frames, key=lambda frame: frame["index"])
    (row,) = await database.hot(
        STORE,
        {
            "org": writer.org_id,
            "registration": writer.registration_id,
            "worker": writer.worker_id,
            "epoch": writer.lease_epoch,
            "session": session_id,
            "turn": turn_id,
            "indexes": [frame["index"] for frame in ordered],
            "texts": [frame["text"] for frame in ordered],
            "dones": [frame.get("done", False) for frame in ordered],
        },
    )
    return row


async def read(
    org_id: str, session_id: str, turn: int, index: int, portion: Portion
) -> Sequence[Any]:
    """The turns and frames from a place on, seen at one moment, with the session's status.

    At least one row, unless the session is gone; `number` is None when there is no such turn yet.
    """
    return await database.hot(
        READ,
        {
            "org": org_id,
            "session": session_id,
            "turn": turn,
            "index": index,
            "most": portion.frames,
            "bytes": portion.bytes,
            "most_turns": portion.turns,
        },
    )


async def news(places: Sequence[tuple[str, str, int, int, str]]) -> set[int]:
    """Which of the places have something new, counted from 0; each is organization, session, turn,
    index and status."""
    orgs, sessions, turns, indexes, statuses = (list(each) for each in zip(*places, strict=True))
    rows = await database.hot(
        NEWS,
        {
            "orgs": orgs,
            "sessions": sessions,
            "turns": turns,
            "indexes": indexes,
            "statuses": statuses,
        },
    )
    return {row.place - 1 for row in rows}


async def prune(kept_seconds: float) -> int:
    """Drop the frames of turns that began longer ago, at most twenty turns; returns how many."""
    return len(await database.hot(PRUNE, {"kept": kept_seconds}))
