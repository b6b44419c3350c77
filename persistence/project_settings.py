"""A project's settings: columns of its row, changed one caller at a time."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from persistence.tables import projects


async def get(
    db: AsyncConnection,
    org_id: str,
    visible: frozenset[str] | None,
    project_id: str,
    *,
    hold: bool = False,
) -> Row[Any]:
    """A visible project's row, held for a change if asked; raises `NotFound`."""
    query = select(projects).where(projects.c.org_id == org_id, projects.c.id == project_id)
    if visible is not None:
        query = query.where(projects.c.id.in_(visible))
    if hold:
        query = query.with_for_update()
    found = (await db.execute(query)).one_or_none()
    if found is None:
        raise NotFound("Project not found")
    return found


async def change(
    db: AsyncConnection, org_id: str, project_id: str, values: Mapping[str, Any]
) -> Row[Any]:
    """Write columns of a project whose row is held; returns the row as it is now.

    Raises `NotFound` for a connection that was removed meanwhile.
    """
    try:
        changed = await db.execute(
            update(projects)
            .where(projects.c.org_id == org_id, projects.c.id == project_id)
            .values(**values, settings_version=projects.c.settings_version + 1)
            .returning(*projects.c)
        )
    except IntegrityError as error:
        raise NotFound("Connection not found") from error
    return changed.one()
