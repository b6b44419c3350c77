"""Tasks that were sent to peers: recorded first, sent by the job, looked after until they end."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, case, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from persistence.paging import Page, page
from persistence.tables import a2a_agents, a2a_dispatches

# Spelled out in each statement, as the index has it.
OPEN: Final[tuple[ColumnElement[str], ...]] = (
    literal_column("'pending'"),
    literal_column("'running'"),
)
STATUSES: Final = {"active": ("pending", "running")}
"""What the filter calls two statuses at once."""


async def create(db: AsyncConnection, values: Mapping[str, Any]) -> Row[Any]:
    made = await db.execute(insert(a2a_dispatches).values(**values).returning(*a2a_dispatches.c))
    return made.one()


async def get(
    db: AsyncConnection, org_id: str, dispatch_id: str, *, hold: bool = False
) -> Row[Any]:
    """One dispatch, its row held for a change if asked; raises `NotFound`."""
    query = select(a2a_dispatches).where(
        a2a_dispatches.c.org_id == org_id, a2a_dispatches.c.id == dispatch_id
    )
    found = (await db.execute(query.with_for_update() if hold else query)).one_or_none()
    if found is None:
        raise NotFound("Dispatch not found")
    return found


async def list_page(
    db: AsyncConnection,
    org_id: str,
    filters: Mapping[str, Any],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """Dispatches, newest first; `filters` are columns and what they must be."""
    table = a2a_dispatches.c
    query = select(a2a_dispatches).where(table.org_id == org_id)
    for name, value in filters.items():
        if value is not None:
            query = query.where(table[name].in_(STATUSES.get(value, (value,))))
    if since is not None:
        query = query.where(table.created_at >= since)
    if until is not None:
        query = query.where(table.created_at < until)
    return await page(db, query, table.created_at, table.id, limit, cursor)


async def ask_to_cancel(db: AsyncConnection, row: Row[Any]) -> Row[Any]:
    """Note on a held row that nobody wants it any more.

    The job tells the peer at once, or as soon as it is known which task that is: a message that is
    under way now is waited for.
    """
    is_known = row.task_id is not None
    changed = await db.execute(
        update(a2a_dispatches)
        .where(a2a_dispatches.c.id == row.id)
        .values(cancel_requested=True, **({"next_try_at": func.now()} if is_known else {}))
        .returning(*a2a_dispatches.c)
    )
    return changed.one()


async def end_unsent(db: AsyncConnection, row: Row[Any]) -> Row[Any]:
    """Cancel a held row that nobody has taken yet: its peer knows nothing of it."""
    changed = await db.execute(
        update(a2a_dispatches)
        .where(a2a_dispatches.c.id == row.id)
        .values(cancel_requested=True, status="canceled", completed_at=func.now())
        .returning(*a2a_dispatches.c)
    )
    return changed.one()


async def next_due(
    db: AsyncConnection, seconds: float, busy: Collection[str] = ()
) -> Row[Any] | None:
    """Take the dispatch that has been due for longest, for so many seconds; None when none is.

    Two processes at once never take one. When the time is over without a word, whoever took it is
    gone, and it is due again. It carries the card of its agent and the token for it; `busy` names
    agents to leave alone.
    """
    due = (
        select(a2a_dispatches.c.id)
        .where(a2a_dispatches.c.status.in_(OPEN), a2a_dispatches.c.next_try_at <= func.now())
        .order_by(a2a_dispatches.c.next_try_at, a2a_dispatches.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if busy:
        due = due.where(a2a_dispatches.c.agent_id.not_in(busy))
    chosen = due.cte("due")
    agent = and_(
        a2a_agents.c.org_id == a2a_dispatches.c.org_id, a2a_agents.c.id == a2a_dispatches.c.agent_id
    )
    return (
        await db.execute(
            update(a2a_dispatches)
            .where(a2a_dispatches.c.id == chosen.c.id)
            .values(taken=a2a_dispatches.c.taken + 1, next_try_at=func.now() + _seconds(seconds))
            .returning(
                *a2a_dispatches.c,
                select(a2a_agents.c.card).where(agent).scalar_subquery().label("card"),
                select(a2a_agents.c.token_encrypted).where(agent).scalar_subquery().label("token"),
                (func.now() - a2a_dispatches.c.created_at).label("age"),
            )
        )
    ).one_or_none()


async def settle(db: AsyncConnection, row: Row[Any], values: Mapping[str, Any]) -> Row[Any] | None:
    """Write what came of a dispatch that was taken; None when somebody else has taken it since.

    One that is to be cancelled meanwhile is due again at once.
    """
    if "next_try_at" in values:
        due = case(
            (a2a_dispatches.c.cancel_requested.is_(row.cancel_requested), values["next_try_at"]),
            else_=func.now(),
        )
        values = {**values, "next_try_at": due}
    changed = await db.execute(
        update(a2a_dispatches)
        .where(
            a2a_dispatches.c.id == row.id,
            a2a_dispatches.c.taken == row.taken,
            a2a_dispatches.c.status.in_(OPEN),
        )
        .values(**values)
        .returning(*a2a_dispatches.c)
    )
    return changed.one_or_none()


def later(seconds: float) -> Any:
    """An instant so many seconds from now, and a random quarter of them later still."""
    return func.now() + _seconds(seconds) * (1 + func.random() / 4)


def _seconds(seconds: float) -> Any:
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)
