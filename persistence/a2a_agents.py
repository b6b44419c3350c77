"""The peers that an organization has registered."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from persistence.tables import a2a_agents

MOST_AGENTS: Final = 500
"""Of one organization: the list of them has no pages."""

SHOWN: Final = [each for each in a2a_agents.c if each.name != "token_encrypted"]


async def create(db: AsyncConnection, values: Mapping[str, Any]) -> Row[Any]:
    """Store an agent; raises `Conflict` when its URL is registered, or there are too many."""
    count = await db.scalar(
        select(func.count()).select_from(a2a_agents).where(a2a_agents.c.org_id == values["org_id"])
    )
    if count is not None and count >= MOST_AGENTS:
        raise Conflict(f"An organization has at most {MOST_AGENTS} agents; delete one first")
    try:
        made = await db.execute(
            insert(a2a_agents).values(**values, last_fetched_at=func.now()).returning(*SHOWN)
        )
    except IntegrityError as error:
        raise Conflict("Somebody registered the agent at the same time; try again") from error
    return made.one()


async def list_all(db: AsyncConnection, org_id: str) -> list[Row[Any]]:
    """Every agent of an organization, first registered first."""
    return list(
        await db.execute(
            select(*SHOWN)
            .where(a2a_agents.c.org_id == org_id)
            .order_by(a2a_agents.c.created_at, a2a_agents.c.id)
        )
    )


async def find_by_url(db: AsyncConnection, org_id: str, url: str) -> Row[Any] | None:
    return (
        await db.execute(
            select(*SHOWN).where(a2a_agents.c.org_id == org_id, a2a_agents.c.url == url)
        )
    ).one_or_none()


async def get(db: AsyncConnection, org_id: str, agent_id: str, *, hold: bool = False) -> Row[Any]:
    """An agent, its row held for a change if asked; raises `NotFound`."""
    query = select(*SHOWN).where(a2a_agents.c.org_id == org_id, a2a_agents.c.id == agent_id)
    found = (await db.execute(query.with_for_update() if hold else query)).one_or_none()
    if found is None:
        raise NotFound("Agent not found")
    return found


async def change(
    db: AsyncConnection, org_id: str, agent_id: str, values: Mapping[str, Any]
) -> Row[Any]:
    """Write columns of an agent whose row is held; returns the row as it is now."""
    changed = await db.execute(
        update(a2a_agents)
        .where(a2a_agents.c.org_id == org_id, a2a_agents.c.id == agent_id)
        .values(**values, updated_at=func.now())
        .returning(*SHOWN)
    )
    return changed.one()


async def remove(db: AsyncConnection, org_id: str, agent_id: str) -> None:
    await db.execute(
        delete(a2a_agents).where(a2a_agents.c.org_id == org_id, a2a_agents.c.id == agent_id)
    )
