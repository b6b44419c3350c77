"""An organization's connections to Linear, GitHub and Vercel."""

from typing import Any, Final

from domain.errors import Invalid
from domain.ids import new_id
from domain.masking import masked
from domain.principal import Principal
from domain.times import iso
from handlers.etags import etag, require_match
from handlers.replies import Reply
from outbound import github
from persistence import audit, connections, database, organizations
from services import connection_secrets, linear_access

SECRETS: Final = {"linear": "token", "github": "privateKey", "vercel": "token"}
"""provider -> the member that holds the secret of its connections."""

COLUMNS: Final = {"name": "name", "appId": "app_id", "installationId": "installation_id"}
OF_GITHUB: Final = frozenset({"appId", "installationId"})


async def create_connection(org_id: str, body: dict[str, Any], user: Principal) -> Reply:
    """Connect the organization to a provider."""
    user.require_org(org_id)
    provider, connection_id = body["provider"], new_id("conn")
    columns = _columns(provider, body) | await _secret(provider, org_id, connection_id, body)
    async with database.transaction() as db:
        await organizations.get(db, org_id)
        made = await connections.create(
            db, {"id": connection_id, "org_id": org_id, "provider": provider, **columns}
        )
        await audit.append(
            db,
            org_id,
            user,
            "connection.created",
            ("connection", connection_id),
            {"provider": provider, "name": made.name},
        )
    linear_access.forget(org_id)
    return {"connection": _connection(made)}, 201, etag(made.version)


async def list_connections(org_id: str, user: Principal, limit: int, cursor: str | None) -> Reply:
    """List the organization's connections."""
    user.require_org(org_id)
    async with database.statement() as db:
        page = await connections.list_page(db, org_id, limit, cursor)
    return {
        "connections": [_connection(row) for row in page.rows],
        "nextCursor": page.next_cursor,
    }, 200


async def get_connection(org_id: str, connection_id: str, user: Principal) -> Reply:
    """Read one connection; its secret by its end or fingerprint only."""
    user.require_org(org_id)
    async with database.statement() as db:
        found = await connections.get(db, org_id, connection_id)
    return {"connection": _connection(found)}, 200, etag(found.version)


async def update_connection(
    org_id: str, connection_id: str, body: dict[str, Any], user: Principal, request: Any
) -> Reply:
    """Change the members that are given and leave the others."""
    user.require_org(org_id)
    async with database.statement() as db:  # a provider never changes
        provider = (await connections.get(db, org_id, connection_id)).provider
    for member in sorted(body.keys() - _members(provider)):
        raise Invalid(f"body.{member}: a connection to {provider} has none")
    columns = _columns(provider, body)
    if SECRETS[provider] in body:
        columns |= await _secret(provider, org_id, connection_id, body)
    async with database.transaction() as db:
        before = await connections.get(db, org_id, connection_id, hold=True)
        require_match(request, before.version)
        changed = await connections.change(db, org_id, connection_id, columns)
        await audit.append(
            db,
            org_id,
            user,
            "connection.changed",
            ("connection", connection_id),
            {member: True if member == SECRETS[provider] else body[member] for member in body},
        )
    return {"connection": _connection(changed)}, 200, etag(changed.version)


async def delete_connection(
    org_id: str, connection_id: str, user: Principal, request: Any
) -> Reply:
    """Forget a connection and its secret, unless a project names it."""
    user.require_org(org_id)
    async with database.transaction() as db:
        gone = await connections.get(db, org_id, connection_id, hold=True)
        require_match(request, gone.version)
        await connections.remove(db, org_id, connection_id)
        await audit.append(
            db,
            org_id,
            user,
            "connection.deleted",
            ("connection", connection_id),
            {"provider": gone.provider, "name": gone.name},
        )
    linear_access.forget(org_id)
    return {"deleted": True, "id": connection_id}, 200


def _members(provider: str) -> frozenset[str]:
    """What can be changed of a connection."""
    return frozenset({"name", SECRETS[provider]}) | (OF_GITHUB if provider == "github" else set())


def _columns(provider: str, body: dict[str, Any]) -> dict[str, Any]:
    members = _members(provider)
    return {
        column: body[member]
        for member, column in COLUMNS.items()
        if member in body and member in members
    }


async def _secret(
    provider: str, org_id: str, connection_id: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The secret's columns: encrypted, and as much of it as is shown."""
    member = SECRETS[provider]
    secret = body[member]
    try:
        shown = await github.fingerprint(secret) if provider == "github" else masked(secret)
    except github.BadKey as bad:
        raise Invalid(f"body.{member}: {bad}") from bad
    sealed = connection_secrets.seal(org_id, connection_id, secret)
    return {"secret_encrypted": sealed, "secret_shown": shown}


def _connection(row: Any) -> dict[str, Any]:
    shown = {
        "appId": row.app_id,
        "installationId": row.installation_id,
        SECRETS[row.provider]: row.secret_shown,
    }
    return {
        "id": row.id,
        "orgId": row.org_id,
        "provider": row.provider,
        "name": row.name,
        **{member: value for member, value in shown.items() if value is not None},
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
    }
