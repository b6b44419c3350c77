"""Sessions as people and programs see them."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.inbox import MOST_OFFERS
from persistence.paging import Page, page
from persistence.tables import sessions, workers

SHOWN = (
    sessions.c.public_id,
    sessions.c.issue_identifier,
    sessions.c.status,
    sessions.c.waits_for,
    sessions.c.last_tool_called_at,
    sessions.c.tool_call_count,
    sessions.c.work_type,
    sessions.c.created_at,
    sessions.c.queued_at,
    sessions.c.claimed_at,
    sessions.c.finished_at,
    sessions.c.total_cost_usd,
    sessions.c.provider,
    workers.c.last_heartbeat_at,
    func.now().label("now"),
)


def _visible(columns: tuple[Any, ...], org_id: str, projects: frozenset[str] | None) -> Select[Any]:
    query = (
        select(*columns)
        .select_from(sessions.outerjoin(workers, workers.c.id == sessions.c.slot_worker_id))
        .where(sessions.c.org_id == org_id)
    )
    if projects is not None:
        query = query.where(sessions.c.project_id.in_(projects))
    return query


async def list_page(
    db: AsyncConnection,
    org_id: str,
    projects: frozenset[str] | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """One page, newest in the queue first; read from an index, however many are stored."""
    return await page(
        db,
        _visible(SHOWN, org_id, projects),
        sessions.c.queued_at,
        sessions.c.public_id,
        limit,
        cursor,
    )


MOST_UNCONFIRMED: Final = 20
UNCONFIRMED: Final[ColumnElement[Any]] = literal_column(f"""(
with latest as (
  select * from inbox_messages u
   where u.org_id = sessions.org_id and u.session_id = sessions.id
     and u.acknowledged_at is null
     and (u.offers >= {MOST_OFFERS}
       or (sessions.status in ('completed', 'failed', 'stopped') and u.type <> 'stop'))
   order by u.ms desc, u.seq desc limit {MOST_UNCONFIRMED}
)
select json_agg(json_build_object(
         'id', m.ms || '-' || m.seq, 'type', m.type, 'text', left(m.payload, 2000),
         'createdAt', to_char(m.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
       ) order by m.ms, m.seq)
  from latest m
)""")
"""The latest messages that were never confirmed and are offered no more, oldest first: they were
offered as often as they are, or the session ended before they were."""


MOST_LINKS: Final = 50
LINKS: Final[ColumnElement[Any]] = literal_column(f"""(
with latest as (
  select * from session_links k
   where k.org_id = sessions.org_id and k.session_id = sessions.id
   order by k.at desc, k.kind, k.key limit {MOST_LINKS}
)
select json_agg(json_build_object(
         'kind', l.kind, 'url', l.url, 'title', l.title, 'state', l.state,
         'at', to_char(l.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
       ) order by l.at desc, l.kind, l.key)
  from latest l
)""")
"""What providers say belongs to the session, the latest first."""


async def find(
    db: AsyncConnection, org_id: str, projects: frozenset[str] | None, public_id: str
) -> Row[Any] | None:
    """One visible session with what its page shows; None when there is none."""
    return await _find(db, org_id, projects, sessions.c.public_id == public_id)


async def find_by_id(
    db: AsyncConnection, org_id: str, projects: frozenset[str] | None, session_id: str
) -> Row[Any] | None:
    """The same by the session's own id."""
    return await _find(db, org_id, projects, sessions.c.id == session_id)


async def _find(
    db: AsyncConnection,
    org_id: str,
    projects: frozenset[str] | None,
    named: ColumnElement[bool],
) -> Row[Any] | None:
    detail = (
        *SHOWN,
        sessions.c.issue_title,
        sessions.c.worktree_path,
        sessions.c.input_tokens,
        sessions.c.output_tokens,
        sessions.c.failure_reason,
        sessions.c.external_urls,
        UNCONFIRMED.label("unconfirmed"),
        LINKS.label("links"),
    )
    query = _visible(detail, org_id, projects).where(named)
    found: Row[Any] | None = (await db.execute(query)).one_or_none()
    return found
