"""Sessions as people and programs see them."""

from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

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


async def find(
    db: AsyncConnection, org_id: str, projects: frozenset[str] | None, public_id: str
) -> Row[Any] | None:
    """One visible session with what its page shows; None when there is none."""
    detail = (
        *SHOWN,
        sessions.c.issue_title,
        sessions.c.worktree_path,
        sessions.c.input_tokens,
        sessions.c.output_tokens,
        sessions.c.failure_reason,
        sessions.c.external_urls,
    )
    query = _visible(detail, org_id, projects).where(sessions.c.public_id == public_id)
    found: Row[Any] | None = (await db.execute(query)).one_or_none()
    return found
