"""Which provider's workspace belongs to which project."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Interval, Row, cast, delete, exists, func, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from persistence.paging import Page, page
from persistence.tables import (
    opened_repositories,
    org_webhook_secrets,
    projects,
    workspace_mappings,
)


async def create(
    db: AsyncConnection,
    mapping_id: str,
    org_id: str,
    provider: str,
    workspace_id: str,
    project_id: str,
    *,
    shared: bool,
) -> Row[Any]:
    """Map a workspace; raises `Conflict` when it is mapped already."""
    try:
        made = await db.execute(
            insert(workspace_mappings)
            .values(
                id=mapping_id,
                org_id=org_id,
                provider=provider,
                workspace_id=workspace_id,
                project_id=project_id,
                shared=shared,
            )
            .returning(*workspace_mappings.c)
        )
    except IntegrityError as error:
        raise Conflict("The workspace is mapped already; remove that mapping first") from error
    return made.one()


async def list_page(
    db: AsyncConnection,
    org_id: str,
    visible: frozenset[str] | None,
    limit: int,
    cursor: str | None,
) -> Page:
    query = select(workspace_mappings).where(workspace_mappings.c.org_id == org_id)
    if visible is not None:
        query = query.where(workspace_mappings.c.project_id.in_(visible))
    return await page(
        db, query, workspace_mappings.c.created_at, workspace_mappings.c.id, limit, cursor
    )


async def remove(db: AsyncConnection, org_id: str, mapping_id: str) -> Row[Any]:
    """Remove a mapping and return it; raises `NotFound`."""
    gone = (
        await db.execute(
            delete(workspace_mappings)
            .where(workspace_mappings.c.org_id == org_id, workspace_mappings.c.id == mapping_id)
            .returning(*workspace_mappings.c)
        )
    ).one_or_none()
    if gone is None:
        raise NotFound("Mapping not found")
    return gone


async def has_own_secret(db: AsyncConnection, org_id: str, provider: str) -> bool:
    """Whether the organization verifies this provider's webhooks with a secret of its own."""
    found = await db.scalar(
        select(
            exists().where(
                org_webhook_secrets.c.org_id == org_id,
                org_webhook_secrets.c.provider == provider,
            )
        )
    )
    return bool(found)


async def own_secrets(
    db: AsyncConnection, provider: str, claimed: Sequence[str], place: str | None
) -> list[Row[Any]]:
    """(org_id, secret_encrypted) of the organizations that map such a workspace for themselves, or
    have a project in the repository at `place` (`host/owner/name`)."""
    secrets = org_webhook_secrets.c
    mapped = exists().where(
        workspace_mappings.c.org_id == secrets.org_id,
        workspace_mappings.c.provider.in_(_mapped_as(provider)),
        workspace_mappings.c.workspace_id.in_(claimed),
    )
    named = exists().where(
        projects.c.org_id == secrets.org_id, projects.c.repository_places.contains([place])
    )
    return list(
        await db.execute(
            select(secrets.org_id, secrets.secret_encrypted).where(
                secrets.provider == provider, or_(mapped, named) if place else mapped
            )
        )
    )


PROVED_FOR: Final = "30 days"
"""How long a connection's last token for a repository says that its events may be seen."""


async def projects_in(
    db: AsyncConnection, org_id: str, place: str, *, at_most: int = 2
) -> list[Row[Any]]:
    """(org_id, project_id) of an organization's projects in the repository at `place`."""
    return list(
        await db.execute(
            select(projects.c.org_id, projects.c.id.label("project_id"))
            .where(projects.c.org_id == org_id, projects.c.repository_places.contains([place]))
            .limit(at_most)
        )
    )


async def projects_that_open(
    db: AsyncConnection, provider: str, place: str, *, at_most: int = 2
) -> list[Row[Any]]:
    """(org_id, project_id) of projects in the repository at `place` to whose organization GitHub
    has opened it, those with a secret of their own for the provider left out."""
    opened, secrets = opened_repositories.c, org_webhook_secrets.c
    return list(
        await db.execute(
            select(projects.c.org_id, projects.c.id.label("project_id"))
            .where(
                projects.c.repository_places.contains([place]),
                exists().where(
                    opened.org_id == projects.c.org_id,
                    opened.place == place,
                    opened.opened_at > func.now() - cast(PROVED_FOR, Interval),
                ),
                ~exists().where(secrets.org_id == projects.c.org_id, secrets.provider == provider),
            )
            .limit(at_most)
        )
    )


OWNER: Final = """
select m.org_id, m.project_id, m.provider, m.workspace_id from workspace_mappings m
 where m.provider = any (%(names)s) and m.workspace_id = any (%(claimed)s)
   and case when %(verified_by)s <> '' then m.org_id = %(verified_by)s
       else m.shared and not exists (
         select from org_webhook_secrets s
          where s.org_id = m.org_id and s.provider = %(provider)s)
       end
"""


async def owner(
    db: AsyncConnection, provider: str, claimed: Sequence[str], verified_by: str
) -> Row[Any] | None:
    """The mapping an event falls under, by the secret that verified it; None when unmapped.

    Of several workspaces that an event names, the first that is mapped decides. An organization's
    own secret reaches its own mappings and nothing else. The server's secret (`verified_by` empty)
    reaches shared mappings, but never an organization that has a secret of its own for the
    provider.
    """
    if not claimed:
        return None
    names = _mapped_as(provider)
    found = await db.exec_driver_sql(
        OWNER,
        {
            "names": list(names),
            "claimed": list(claimed),
            "verified_by": verified_by,
            "provider": provider,
        },
    )
    return min(
        found,
        key=lambda row: (claimed.index(row.workspace_id), names.index(row.provider)),
        default=None,
    )


def _mapped_as(provider: str) -> tuple[str, ...]:
    """The providers whose mappings hold for an event: GitHub Actions' events are GitHub's too."""
    return (provider, "github") if provider == "github-actions" else (provider,)
