"""Which organization and project a call is about, within what its credential sees."""

from typing import Any

from domain.errors import Invalid, NotFound
from domain.principal import Principal
from persistence import database, organizations, projects


async def require_named_org(db: Any, user: Principal, named: str | None) -> None:
    """`X-Rensei-Org` chooses among what the credential sees, which is its own organization."""
    if not named or named == user.org_id:
        return
    org = await organizations.get(db, str(user.org_id))
    if named != org.slug:
        raise NotFound("Organization not found")


async def only_project(
    db: Any, user: Principal, named: str, *, by_slug: bool = True
) -> frozenset[str]:
    """The one project that is named, by id or slug; raises `NotFound` when it is not visible."""
    found = await projects.find(db, str(user.org_id), user.projects, named, by_slug=by_slug)
    if found is None:
        raise NotFound("Project not found")
    return frozenset({found.id})


async def one_project(db: Any, user: Principal, named: str | None, *, by_slug: bool = True) -> str:
    """The project that new work or a new worker belongs to: the one named, or the key's only one.

    Raises `Invalid` when neither says which, and `NotFound` when it is not visible.
    """
    if named is None and user.projects is not None and len(user.projects) == 1:
        return next(iter(user.projects))
    if named is None:
        raise Invalid("projectId: this credential may see several projects; name one")
    (project_id,) = await only_project(db, user, named, by_slug=by_slug)
    return project_id


async def visible_projects(
    user: Principal, org: str | None, project: str | None
) -> frozenset[str] | None:
    """The projects that a call is about: those of the credential, or the one its headers choose.

    None stands for all of them. Without the headers nothing is asked.
    """
    if not org and not project:
        return user.projects
    async with database.statement() as db:
        await require_named_org(db, user, org)
        return await only_project(db, user, project) if project else user.projects
