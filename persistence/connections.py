"""An organization's connections to providers, and which of them a project uses."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from persistence import database
from persistence.paging import Page, page
from persistence.tables import connections, delivery_looks, opened_repositories, projects

CHOICES: Final = {
    "linear": projects.c.linear_connection_id,
    "github": projects.c.github_connection_id,
    "vercel": projects.c.vercel_connection_id,
}
"""provider -> the column in which a project names its connection."""

# Everything but the secret itself, which is read only by who is about to use it.
SHOWN: Final = [each for each in connections.c if each.name != "secret_encrypted"]

ANY_OF: Final = """
select exists (
  select 1 from connections where org_id = %(org)s and provider = %(provider)s) as found
"""
SEALED: Final = """
select app_id, installation_id, secret_encrypted from connections
 where org_id = %(org)s and id = %(connection)s and version = %(version)s
"""


async def create(db: AsyncConnection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a connection; the organization must exist."""
    made = await db.execute(insert(connections).values(**values).returning(*SHOWN))
    return made.one()


async def list_page(db: AsyncConnection, org_id: str, limit: int, cursor: str | None) -> Page:
    query = select(*SHOWN).where(connections.c.org_id == org_id)
    return await page(db, query, connections.c.created_at, connections.c.id, limit, cursor)


async def get(
    db: AsyncConnection, org_id: str, connection_id: str, *, hold: bool = False
) -> Row[Any]:
    """A connection without its secret, its row held for a change if asked; raises `NotFound`."""
    query = select(*SHOWN).where(connections.c.org_id == org_id, connections.c.id == connection_id)
    if hold:
        query = query.with_for_update()
    found = (await db.execute(query)).one_or_none()
    if found is None:
        raise NotFound("Connection not found")
    return found


async def change(
    db: AsyncConnection, org_id: str, connection_id: str, values: Mapping[str, Any]
) -> Row[Any]:
    """Write columns of a connection whose row is held; returns the row as it is now.

    What it opened before may have been another app's, so that is forgotten, and with it up to when
    the app's missed deliveries were looked for.
    """
    for table in (opened_repositories, delivery_looks):
        await db.execute(
            delete(table).where(table.c.org_id == org_id, table.c.connection_id == connection_id)
        )
    changed = await db.execute(
        update(connections)
        .where(connections.c.org_id == org_id, connections.c.id == connection_id)
        .values(**values, version=connections.c.version + 1, updated_at=func.now())
        .returning(*SHOWN)
    )
    return changed.one()


async def remove(db: AsyncConnection, org_id: str, connection_id: str) -> None:
    """Remove a connection; raises `Conflict` while a project names it."""
    try:
        await db.execute(
            delete(connections).where(
                connections.c.org_id == org_id, connections.c.id == connection_id
            )
        )
    except IntegrityError as error:
        raise Conflict(
            "A project uses the connection; choose another in the project's settings first"
        ) from error


async def chosen(
    db: AsyncConnection, org_id: str, project_id: str, provider: str
) -> Row[Any] | None:
    """What a project uses of a provider, with the secret: the connection it names, or else the
    organization's oldest; None when there is none."""
    names = CHOICES[provider]
    return (
        await db.execute(
            select(connections)
            .select_from(
                connections.outerjoin(
                    projects,
                    and_(projects.c.org_id == connections.c.org_id, projects.c.id == project_id),
                )
            )
            .where(
                connections.c.org_id == org_id,
                connections.c.provider == provider,
                or_(names.is_(None), names == connections.c.id),
            )
            .order_by(connections.c.created_at, connections.c.id)
            .limit(1)
        )
    ).one_or_none()


async def providers_of(
    db: AsyncConnection, org_id: str, connection_ids: list[str]
) -> dict[str, str]:
    """The provider of each of the connections that the organization has."""
    rows = await db.execute(
        select(connections.c.id, connections.c.provider).where(
            connections.c.org_id == org_id, connections.c.id.in_(connection_ids)
        )
    )
    return {row.id: row.provider for row in rows}


async def has_any(org_id: str, provider: str) -> bool:
    """Whether an organization is connected to a provider; one round trip."""
    (row,) = await database.hot(ANY_OF, {"org": org_id, "provider": provider})
    return bool(row.found)


async def sealed(org_id: str, connection_id: str, version: int) -> Any | None:
    """The secret of a connection as it was at a version; None when it changed or is gone."""
    rows = await database.hot(
        SEALED, {"org": org_id, "connection": connection_id, "version": version}
    )
    return rows[0] if rows else None


async def note_opened(
    db: AsyncConnection, org_id: str, connection_id: str, version: int, places: Collection[str]
) -> None:
    """Remember which repositories GitHub has just opened to a connection as it was at a version."""
    is_now = await db.scalar(
        select(connections.c.version)
        .where(connections.c.org_id == org_id, connections.c.id == connection_id)
        .with_for_update(read=True)
    )
    if is_now != version or not places:
        return
    opened = upsert(opened_repositories).values(
        [
            {"org_id": org_id, "connection_id": connection_id, "place": place}
            for place in sorted(places)
        ]
    )
    await db.execute(
        opened.on_conflict_do_update(
            index_elements=["org_id", "connection_id", "place"], set_={"opened_at": func.now()}
        )
    )
