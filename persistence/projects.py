"""Projects of an organization."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row, case, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from domain.repositories import places
from persistence import database
from persistence.paging import Page, page
from persistence.tables import organizations, projects

FIRST_REPOSITORY: Final = """
select repository, default_branch from projects where org_id = %(org)s and id = %(project)s
"""


async def create(
    db: AsyncConnection, org_id: str, project_id: str, name: str, slug: str, repository: str | None
) -> Row[Any]:
    """Make a project, the organization's default if it is its first.

    Two first projects at once wait for each other on the organization's row. Raises `NotFound`
    for an unknown organization and `Conflict` when the slug is taken in it.
    """
    org = await db.execute(
        select(organizations.c.id).where(organizations.c.id == org_id).with_for_update()
    )
    if org.one_or_none() is None:
        raise NotFound("Organization not found")
    try:
        made = await db.execute(
            insert(projects)
            .values(
                id=project_id,
                org_id=org_id,
                name=name,
                slug=slug,
                repository=repository,
                repository_places=places([repository]),
                is_default=~exists().where(projects.c.org_id == org_id),
            )
            .returning(*projects.c)
        )
    except IntegrityError as error:
        raise Conflict(f"A project with the slug {slug} exists; choose another") from error
    return made.one()


async def list_page(
    db: AsyncConnection,
    org_id: str,
    visible: frozenset[str] | None,
    limit: int,
    cursor: str | None,
) -> Page:
    query = select(projects).where(projects.c.org_id == org_id)
    if visible is not None:
        query = query.where(projects.c.id.in_(visible))
    return await page(db, query, projects.c.created_at, projects.c.id, limit, cursor)


async def find(
    db: AsyncConnection,
    org_id: str,
    visible: frozenset[str] | None,
    id_or_slug: str,
    *,
    by_slug: bool = True,
) -> Row[Any] | None:
    """A visible project by its id, or by its slug too; None when there is none."""
    named = projects.c.id == id_or_slug
    if by_slug:
        named = or_(named, projects.c.slug == id_or_slug)
    query = select(projects).where(projects.c.org_id == org_id, named)
    if visible is not None:
        query = query.where(projects.c.id.in_(visible))
    return (await db.execute(query.order_by(projects.c.id != id_or_slug).limit(1))).one_or_none()


async def set_providers(
    db: AsyncConnection, org_id: str, providers: Mapping[str, str | None]
) -> None:
    """Name the agent provider of projects, by their ids; None leaves it to routing again.

    Raises `NotFound` when an id names no project of the organization.
    """
    changed = await db.scalars(
        update(projects)
        .where(projects.c.org_id == org_id, projects.c.id.in_(providers))
        .values(provider=case(dict(providers), value=projects.c.id))
        .returning(projects.c.id)
    )
    if unknown := sorted(set(providers) - set(changed)):
        raise NotFound(f"Project not found: {', '.join(unknown[:5])}")


async def first_repository(org_id: str, project_id: str) -> Any | None:
    """A project's first repository and its branch; one round trip."""
    rows = await database.hot(FIRST_REPOSITORY, {"org": org_id, "project": project_id})
    return rows[0] if rows else None


async def missing(db: AsyncConnection, org_id: str, project_ids: list[str]) -> list[str]:
    """Which of the ids name no project of the organization."""
    known = set(
        await db.scalars(
            select(projects.c.id).where(projects.c.org_id == org_id, projects.c.id.in_(project_ids))
        )
    )
    return [project_id for project_id in project_ids if project_id not in known]
