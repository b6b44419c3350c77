"""Recovery packets, and what they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, and_, func, or_, select, text, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.recovery_packets import Packet
from persistence.tables import file_reservations, recovery_packets, sessions

MOST_SHOWN: Final = 100

_AT: Final = """to_char({} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""

# What is long is cut here already, so that the megabytes of an agent's tools stay where they are.
GATHER: Final = f"""
with interrupted as (
  select * from unnest(cast(:orgs as text[]), cast(:sessions as text[]), cast(:workers as text[]))
                as i (org_id, id, worker_id)
)
select s.org_id, s.id, o.max_attempts, s.attempts, s.lease_epoch, s.issue_id, s.issue_identifier,
       s.issue_title, s.work_type, s.project_name, s.provider, s.provider_session_id,
       s.worktree_path, s.total_cost_usd, s.input_tokens, s.output_tokens, s.external_urls,
       s.last_tool_name, s.tool_call_count, s.activity_count,
       {_AT.format("s.claimed_at")} as claimed_at, {_AT.format("s.last_call_at")} as last_call_at,
       {_AT.format("now()")} as now,
       left(s.work->>'promptContext', 4000) as prompt_context,
       left(s.work->>'prompt', 2000) as prompt,
       left(s.work->>'repository', 300) as repository,
       left(coalesce(s.work->>'branch', s.work->>'ref'), 300) as branch,
       k.hostname, k.version, {_AT.format("k.last_heartbeat_at")} as last_heartbeat_at,
       tail.list as activities, milestones.list as progress, said.list as messages,
       broken.list as tool_errors, concluded.summary,
       p.number, p.id as packet_id, p.chain_id, encode(p.content_hash, 'hex') as packet_hash
  from interrupted i
  join sessions s on s.org_id = i.org_id and s.id = i.id
  join organizations o on o.id = s.org_id
  left join workers k on k.id = i.worker_id
  left join lateral (
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
             'seq', a.seq, 'type', a.type, 'at', {_AT.format("a.stored_at")},
             'content', left(a.activity->>'content', 1000),
             'toolName', left(a.activity->>'toolName', 200),
             'input', left(a.activity->>'toolInput', 400),
             'output', left(a.activity->>'toolOutput', 400))) order by a.seq) as list
      from (select * from activities a where a.org_id = s.org_id and a.session_id = s.id
             order by a.seq desc limit 25) a
  ) tail on true
  left join lateral (
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
             'seq', a.seq, 'at', {_AT.format("a.stored_at")},
             'content', left(a.activity->>'content', 500),
             'milestone', left(a.activity->>'milestone', 200))) order by a.seq) as list
      from (select * from activities a
             where a.org_id = s.org_id and a.session_id = s.id and a.type = 'progress'
               and a.seq > s.activity_count - 500
             order by a.seq desc limit 10) a
  ) milestones on true
  left join lateral (
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
             'id', m.ms || '-' || m.seq, 'text', left(m.payload, 2000),
             'from', left(m.user_name, 200), 'at', {_AT.format("m.created_at")},
             'confirmed', m.acknowledged_at is not null)) order by m.ms, m.seq) as list
      from (select * from inbox_messages m
             where m.org_id = s.org_id and m.session_id = s.id and m.type = 'directive'
             order by m.ms desc, m.seq desc limit 5) m
  ) said on true
  left join lateral (
    select jsonb_agg(jsonb_build_object(
             'toolName', left(e.tool_name, 200), 'errorMessage', left(e.error_message, 1000),
             'at', {_AT.format("e.stored_at")}) order by e.stored_at) as list
      from (select * from tool_errors e where e.org_id = s.org_id and e.session_id = s.id
             order by e.stored_at desc limit 3) e
  ) broken on true
  left join lateral (
    select left(c.summary, 4000) as summary from completions c
     where c.org_id = s.org_id and c.session_id = s.id order by c.stored_at desc limit 1
  ) concluded on true
  left join lateral (
    select p.number, p.id, p.chain_id, p.content_hash from recovery_packets p
     where p.org_id = s.org_id and p.session_id = s.id order by p.number desc limit 1
  ) p on true
"""

ADD: Final = """
with made as (
  insert into recovery_packets (org_id, session_id, number, id, chain_id, previous_id, tier,
                                token_estimate, data, content_hash, text)
  select org_id, session_id, number, id, chain_id, previous_id, tier, token_estimate, data::json,
         content_hash, text
    from unnest(cast(:org_id as text[]), cast(:session_id as text[]), cast(:number as integer[]),
                cast(:id as text[]), cast(:chain_id as text[]), cast(:previous_id as text[]),
                cast(:tier as text[]), cast(:token_estimate as integer[]), cast(:data as text[]),
                cast(:content_hash as bytea[]), cast(:text as text[]))
         as p (org_id, session_id, number, id, chain_id, previous_id, tier, token_estimate, data,
               content_hash, text)
  returning org_id, session_id, id, tier
), rides as (
  update sessions s set recovery_packet_id = made.id
    from made where s.org_id = made.org_id and s.id = made.session_id
), logged as (
  insert into audit_pending
         (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
  select m.org_id, 'session.recovery_packet_made', :actor_id, :actor_type, 'session', m.session_id,
         jsonb_build_object('packetId', m.id, 'tier', m.tier)
    from made m
)
select count(*) from made
"""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A session whose row is held, who was at work on it, and in which status."""

    org_id: str
    session_id: str
    worker_id: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """A packet with its place in the chain of its session."""

    org_id: str
    session_id: str
    number: int
    id: str
    chain_id: str
    previous_id: str | None
    packet: Packet


async def gather(db: AsyncConnection, interrupted: Sequence[Interrupted]) -> Sequence[Row[Any]]:
    """What is known of each session and of the packet before, in one round trip."""
    found = await db.execute(
        text(GATHER),
        {
            "orgs": [each.org_id for each in interrupted],
            "sessions": [each.session_id for each in interrupted],
            "workers": [each.worker_id for each in interrupted],
        },
    )
    return found.all()


async def reserved_files(
    db: AsyncConnection, interrupted: Sequence[Interrupted]
) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
    """The files that each session had reserved, by organization and id; each has `filePath`.

    They are still its own: a reservation goes when the session is claimed anew.
    """
    found = await db.execute(
        select(file_reservations.c.org_id, file_reservations.c.session_id, file_reservations.c.path)
        .where(
            tuple_(file_reservations.c.org_id, file_reservations.c.session_id).in_(
                [(each.org_id, each.session_id) for each in interrupted]
            ),
            file_reservations.c.expires_at > func.now(),
        )
        .order_by(file_reservations.c.path)
    )
    files: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found:
        files.setdefault((row.org_id, row.session_id), []).append({"filePath": row.path})
    return files


async def add(
    db: AsyncConnection, packets: Sequence[Numbered], actor: tuple[str | None, str]
) -> None:
    """Store packets and let each ride with its session; the sessions' rows are held.

    `actor` is (id, type) for the audit log.
    """
    columns = ("org_id", "session_id", "number", "id", "chain_id", "previous_id")
    values = {name: [getattr(each, name) for each in packets] for name in columns}
    made = [each.packet for each in packets]
    await db.execute(
        text(ADD),
        {
            **values,
            "tier": [each.tier for each in made],
            "token_estimate": [each.token_estimate for each in made],
            "data": [each.json for each in made],
            "content_hash": [each.content_hash for each in made],
            "text": [each.text for each in made],
            "actor_id": actor[0],
            "actor_type": actor[1],
        },
    )


async def find_session(
    db: AsyncConnection,
    org_id: str,
    projects: frozenset[str] | None,
    session_id: str,
    *,
    hold: bool = False,
) -> Any | None:
    """A visible session by its own id or its public one; None when none is visible."""
    query = (
        select(sessions.c.org_id, sessions.c.id, sessions.c.worker_id, sessions.c.status)
        .where(
            sessions.c.org_id == org_id,
            or_(sessions.c.id == session_id, sessions.c.public_id == session_id),
            true() if projects is None else sessions.c.project_id.in_(projects),
        )
        .order_by((sessions.c.id == session_id).desc())
        .limit(1)
    )
    return (await db.execute(query.with_for_update() if hold else query)).one_or_none()


async def chain(
    db: AsyncConnection, org_id: str, session_id: str, most: int = MOST_SHOWN
) -> Sequence[Row[Any]]:
    """The newest packets of a session, newest first."""
    found = await db.execute(
        select(recovery_packets)
        .where(_of(org_id, session_id))
        .order_by(recovery_packets.c.number.desc())
        .limit(most)
    )
    return found.all()


async def resume(db: AsyncConnection, packet: Row[Any]) -> Row[Any] | None:
    """Mark a packet as taken up; None when it was marked before."""
    marked = await db.execute(
        update(recovery_packets)
        .where(
            _of(packet.org_id, packet.session_id),
            recovery_packets.c.number == packet.number,
            recovery_packets.c.resumed_at.is_(None),
        )
        .values(resumed_at=func.now())
        .returning(*recovery_packets.c)
    )
    return marked.one_or_none()


async def riding(db: AsyncConnection, session: Any) -> Row[Any] | None:
    """The packet that rides with a session to its next worker: `recovery_packet_id` and
    `recovery_text`, as a claim by poll has them; None when there is none."""
    if session.recovery_packet_id is None:
        return None
    found = await db.execute(
        text("select * from recovery_for(:org, :session)"),
        {"org": session.org_id, "session": session.id},
    )
    return found.one_or_none()


def _of(org_id: str, session_id: str) -> Any:
    return and_(recovery_packets.c.org_id == org_id, recovery_packets.c.session_id == session_id)
