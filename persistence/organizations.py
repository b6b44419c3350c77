"""Organizations and their settings."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from persistence.paging import Page, page
from persistence.tables import org_webhook_secrets, organizations, projects


async def create(db: AsyncConnection, org_id: str, name: str, slug: str) -> Row[Any]:
    """Make an organization; raises `Conflict` when the slug is taken."""
    try:
        made = await db.execute(
            insert(organizations)
            .values(id=org_id, name=name, slug=slug)
            .returning(*organizations.c)
        )
    except IntegrityError as error:
        raise Conflict(f"An organization with the slug {slug} exists; choose another") from error
    return made.one()


async def list_page(db: AsyncConnection, limit: int, cursor: str | None) -> Page:
    return await page(
        db,
        select(organizations),
        organizations.c.created_at,
        organizations.c.id,
        limit,
        cursor,
    )


async def get(db: AsyncConnection, org_id: str) -> Row[Any]:
    """The organization; raises `NotFound`."""
    found = (
        await db.execute(select(organizations).where(organizations.c.id == org_id))
    ).one_or_none()
    if found is None:
        raise NotFound("Organization not found")
    return found


async def find_published(db: AsyncConnection, slug: str) -> Row[Any] | None:
    """The organization of a slug, if it publishes a card."""
    return (
        await db.execute(
            select(organizations).where(
                organizations.c.slug == slug, organizations.c.publishes_card
            )
        )
    ).one_or_none()


async def get_with_projects(
    db: AsyncConnection, org_id: str, visible: frozenset[str] | None
) -> tuple[Row[Any], list[Row[Any]]]:
    """The organization and those of its projects that are visible, oldest first, in one query."""
    matches = organizations.c.id == projects.c.org_id
    if visible is not None:
        matches &= projects.c.id.in_(visible)
    rows: list[Row[Any]] = list(
        await db.execute(
            select(
                organizations.c.id.label("org_id"),
                organizations.c.name.label("org_name"),
                organizations.c.slug.label("org_slug"),
                projects.c.id,
                projects.c.name,
                projects.c.slug,
                projects.c.is_default,
            )
            .select_from(organizations.outerjoin(projects, matches))
            .where(organizations.c.id == org_id)
            .order_by(projects.c.created_at, projects.c.id)
        )
    )
    if not rows:
        raise NotFound("Organization not found")
    return rows[0], [row for row in rows if row.id is not None]


async def settings(
    db: AsyncConnection, org_id: str, visible: frozenset[str] | None
) -> tuple[Row[Any], list[str], dict[str, str]]:
    """The organization's row, for which webhook providers it has a secret of its own, and the
    agent provider of each visible project that has one."""
    org = await get(db, org_id)
    chosen = select(projects.c.id, projects.c.provider).where(
        projects.c.org_id == org_id, projects.c.provider.is_not(None)
    )
    if visible is not None:
        chosen = chosen.where(projects.c.id.in_(visible))
    providers = await db.scalars(
        select(org_webhook_secrets.c.provider)
        .where(org_webhook_secrets.c.org_id == org_id)
        .order_by(org_webhook_secrets.c.provider)
    )
    by_project = {row.id: row.provider for row in await db.execute(chosen.order_by(projects.c.id))}
    return org, list(providers), by_project


async def change(
    db: AsyncConnection,
    org_id: str,
    columns: Mapping[str, Any],
    secrets: Mapping[str, bytes | None],
) -> None:
    """Store the changed columns and encrypted secrets; a secret of None is removed."""
    if columns:
        await db.execute(
            update(organizations).where(organizations.c.id == org_id).values(**columns)
        )
    gone = [provider for provider, secret in secrets.items() if secret is None]
    kept = [
        {"org_id": org_id, "provider": provider, "secret_encrypted": secret}
        for provider, secret in secrets.items()
        if secret is not None
    ]
    if gone:
        await db.execute(
            delete(org_webhook_secrets).where(
                org_webhook_secrets.c.org_id == org_id, org_webhook_secrets.c.provider.in_(gone)
            )
        )
    if kept:
        statement = upsert(org_webhook_secrets).values(kept)
        await db.execute(
            statement.on_conflict_do_update(
                index_elements=["org_id", "provider"],
                set_={"secret_encrypted": statement.excluded.secret_encrypted},
            )
        )
