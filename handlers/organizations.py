"""Organizations, their projects and settings."""

from typing import Any

from auth import keyring
from auth.webhook_signatures import secret_context
from domain.errors import NotFound
from domain.ids import new_id
from domain.principal import Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import audit, database, organizations, projects


async def create_organization(body: dict[str, Any], user: Principal) -> Reply:
    """Make an organization."""
    async with database.transaction() as db:
        org = await organizations.create(db, new_id("org"), body["name"], body["slug"])
        await audit.append(
            db, org.id, user, "organization.created", ("organization", org.id), {"slug": org.slug}
        )
    return {"organization": _organization(org)}, 201


async def list_organizations(limit: int, cursor: str | None) -> Reply:
    """List all organizations of this server."""
    async with database.statement() as db:
        page = await organizations.list_page(db, limit, cursor)
    return {
        "organizations": [_organization(row) for row in page.rows],
        "nextCursor": page.next_cursor,
    }, 200


async def create_project(org_id: str, body: dict[str, Any], user: Principal) -> Reply:
    """Make a project of the organization."""
    user.require_org(org_id)
    async with database.transaction() as db:
        project = await projects.create(
            db, org_id, new_id("proj"), body["name"], body["slug"], body.get("repository")
        )
        await audit.append(
            db, org_id, user, "project.created", ("project", project.id), {"slug": project.slug}
        )
    return {"project": _project(project)}, 201


async def list_projects(org_id: str, user: Principal, limit: int, cursor: str | None) -> Reply:
    """List the projects that the credential may see."""
    user.require_org(org_id)
    async with database.statement() as db:
        page = await projects.list_page(db, org_id, user.projects, limit, cursor)
    return {"projects": [_project(row) for row in page.rows], "nextCursor": page.next_cursor}, 200


async def get_project(org_id: str, project_id: str, user: Principal) -> Reply:
    """Read one project."""
    user.require_org(org_id)
    async with database.statement() as db:
        project = await projects.find(db, org_id, user.projects, project_id, by_slug=False)
    if project is None:
        raise NotFound("Project not found")
    return {"project": _project(project)}, 200


async def get_org_settings(org_id: str, user: Principal) -> Reply:
    """Read the organization's settings; secrets by name only."""
    user.require_org(org_id)
    async with database.statement() as db:
        found = await organizations.settings(db, org_id, user.projects)
    return _settings(*found), 200


async def update_org_settings(org_id: str, body: dict[str, Any], user: Principal) -> Reply:
    """Change the settings that are given and leave the others."""
    user.require_org(org_id)
    master = keyring.current().master
    secrets = {
        provider: master.seal(secret.encode(), secret_context(org_id, provider)) if secret else None
        for provider, secret in body.get("webhookSecrets", {}).items()
    }
    columns = {
        column: body[member]
        for member, column in (
            ("name", "name"),
            ("maxAttempts", "max_attempts"),
            ("sessionHashLinks", "session_hash_links"),
            ("publishesAgentCard", "publishes_card"),
        )
        if member in body
    }
    async with database.transaction() as db:
        await organizations.get(db, org_id)
        await organizations.change(db, org_id, columns, secrets)
        project_providers = body.get("projectProviders", {})
        if project_providers:
            await projects.set_providers(db, org_id, project_providers)
        await audit.append(
            db,
            org_id,
            user,
            "organization.settings_changed",
            ("organization", org_id),
            {
                **columns,
                "webhookSecrets": {p: s is not None for p, s in secrets.items()},
                **({"projectProviders": project_providers} if project_providers else {}),
            },
        )
        found = await organizations.settings(db, org_id, user.projects)
    return _settings(*found), 200


def _organization(row: Any) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "slug": row.slug, "createdAt": iso(row.created_at)}


def _project(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "orgId": row.org_id,
        "name": row.name,
        "slug": row.slug,
        "repository": row.repository,
        "isDefault": row.is_default,
        "createdAt": iso(row.created_at),
    }


def _settings(org: Any, providers: list[str], by_project: dict[str, str]) -> dict[str, Any]:
    return {
        "settings": {
            "name": org.name,
            "maxAttempts": org.max_attempts,
            "sessionHashLinks": org.session_hash_links,
            "publishesAgentCard": org.publishes_card,
            "webhookSecretsSet": providers,
            "projectProviders": by_project,
        }
    }
