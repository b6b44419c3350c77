"""Which provider's workspace belongs to which project."""

from typing import Any

from domain.errors import Forbidden, NotFound
from domain.ids import new_id
from domain.principal import Kind, Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import audit, database, organizations, projects, workspaces


async def create_workspace_mapping(org_id: str, body: dict[str, Any], user: Principal) -> Reply:
    """Map a workspace: the organization under its own secret, the system key under the server's."""
    user.require_org(org_id)
    provider, workspace_id = body["provider"], body["workspaceId"]
    if provider in {"github", "github-actions"}:  # GitHub's names are the same in any case
        workspace_id = workspace_id.lower()
    shared = user.kind is Kind.SYSTEM
    async with database.transaction() as db:
        await organizations.get(db, org_id)
        if not shared and not await workspaces.has_own_secret(db, org_id, provider):
            raise Forbidden(
                f"Set the organization's own {provider} webhook secret first (PATCH "
                f"/api/org/{org_id}/settings), or ask whoever holds the system key to map it"
            )
        project = await projects.find(db, org_id, user.projects, body["projectId"], by_slug=False)
        if project is None:
            raise NotFound("Project not found")
        mapping = await workspaces.create(
            db, new_id("map"), org_id, provider, workspace_id, project.id, shared=shared
        )
        await audit.append(
            db,
            org_id,
            user,
            "workspace.mapped",
            ("workspace_mapping", mapping.id),
            {"provider": provider, "workspaceId": workspace_id, "projectId": project.id},
        )
    return {"mapping": _mapping(mapping)}, 201


async def list_workspace_mappings(
    org_id: str, user: Principal, limit: int, cursor: str | None
) -> Reply:
    """List the organization's mappings."""
    user.require_org(org_id)
    async with database.statement() as db:
        page = await workspaces.list_page(db, org_id, user.projects, limit, cursor)
    return {"mappings": [_mapping(row) for row in page.rows], "nextCursor": page.next_cursor}, 200


async def delete_workspace_mapping(org_id: str, mapping_id: str, user: Principal) -> Reply:
    """Remove a mapping; sessions that exist go on."""
    user.require_org(org_id)
    async with database.transaction() as db:
        mapping = await workspaces.remove(db, org_id, mapping_id)
        await audit.append(
            db,
            org_id,
            user,
            "workspace.unmapped",
            ("workspace_mapping", mapping_id),
            {"provider": mapping.provider, "workspaceId": mapping.workspace_id},
        )
    return {"deleted": True, "id": mapping_id}, 200


def _mapping(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "orgId": row.org_id,
        "provider": row.provider,
        "workspaceId": row.workspace_id,
        "projectId": row.project_id,
        "shared": row.shared,
        "createdAt": iso(row.created_at),
    }
