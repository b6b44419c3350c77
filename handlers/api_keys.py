"""API keys of an organization."""

from datetime import UTC, datetime
from typing import Any

from domain.errors import Forbidden, Invalid, NotFound
from domain.ids import SHOWN_CHARACTERS, fingerprint, new_api_key, new_id
from domain.principal import WORKER_SCOPES, Kind, Principal
from domain.times import iso, iso_or_none, parse
from handlers.replies import Reply
from persistence import audit, database, keys, organizations, projects

ORG_WIDE_ONLY = frozenset({"*", "org_keys:write"})


async def mint_api_key(org_id: str, body: dict[str, Any], user: Principal) -> Reply:
    """Make a key; its secret is in the answer and nowhere else."""
    user.require_org(org_id)
    project_ids = None if body["projects"] == "all" else list(dict.fromkeys(body["projects"]))
    scopes = _scopes(user, body.get("scopes"), project_ids)
    expires_at = _expiry(body.get("expiresAt"))
    full_key = new_api_key()
    async with database.transaction() as db:
        await organizations.get(db, org_id)
        await _require_projects(db, user, org_id, project_ids)
        key = await keys.create(
            db,
            org_id,
            new_id("key"),
            body["name"],
            full_key[:SHOWN_CHARACTERS],
            fingerprint(full_key),
            scopes,
            project_ids,
            expires_at,
        )
        await audit.append(
            db,
            org_id,
            user,
            "api_key.minted",
            ("api_key", key.id),
            {"prefix": key.prefix, "scopes": scopes, "projectIds": project_ids or "all"},
        )
    shown = _key(key)
    del shown["revokedAt"]
    return {"key": {**shown, "fullKey": full_key}}, 201


async def list_api_keys(org_id: str, user: Principal, limit: int, cursor: str | None) -> Reply:
    """List the organization's keys, without their secrets."""
    user.require_org(org_id)
    async with database.statement() as db:
        page = await keys.list_page(db, org_id, limit, cursor)
    return {"keys": [_key(row) for row in page.rows], "nextCursor": page.next_cursor}, 200


async def revoke_api_key(org_id: str, key_id: str, user: Principal) -> Reply:
    """End a key, its workers and its browser sessions at once."""
    user.require_org(org_id)
    async with database.transaction() as db:
        revoked_at, was_alive = await keys.revoke(db, org_id, key_id)
        if was_alive:
            await audit.append(db, org_id, user, "api_key.revoked", ("api_key", key_id))
    return {"revoked": True, "id": key_id, "revokedAt": iso(revoked_at)}, 200


def _scopes(user: Principal, wanted: list[str] | None, project_ids: list[str] | None) -> list[str]:
    """The new key's scopes; nobody mints what they lack, the `worker:` ones aside."""
    if wanted is None:
        wanted = ["*"] if project_ids is None else list(WORKER_SCOPES)
    wanted = list(dict.fromkeys(wanted))
    if project_ids is not None and (wide := ORG_WIDE_ONLY.intersection(wanted)):
        raise Invalid(f'scopes: {", ".join(sorted(wide))} needs projects: "all"')
    lacking = [
        scope
        for scope in wanted
        if user.kind is not Kind.SYSTEM and scope not in WORKER_SCOPES and not user.may(scope)
    ]
    if "*" in wanted and user.kind is not Kind.SYSTEM and "*" not in user.scopes:
        lacking = ["*"]
    if lacking:
        raise Forbidden(f"The credential lacks what it would give: {', '.join(lacking)}")
    return wanted


def _expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        expires_at = parse(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid("expiresAt: not a date-time this server can store") from None
    if expires_at <= datetime.now(UTC):
        raise Invalid("expiresAt: lies in the past")
    return expires_at


async def _require_projects(
    db: Any, user: Principal, org_id: str, project_ids: list[str] | None
) -> None:
    if project_ids is None:
        if user.projects is not None:
            raise Forbidden("A credential of some projects cannot make a key of all")
        return
    unknown = set(await projects.missing(db, org_id, project_ids))
    unknown |= {project_id for project_id in project_ids if not user.sees(project_id)}
    if unknown:
        raise NotFound(f"Project not found: {', '.join(sorted(unknown)[:5])}")


def _key(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "orgId": row.org_id,
        "name": row.name,
        "keyPrefix": row.prefix,
        "scopes": row.scopes,
        "projectIds": "all" if row.project_ids is None else row.project_ids,
        "createdAt": iso(row.created_at),
        "expiresAt": iso_or_none(row.expires_at),
        "revokedAt": iso_or_none(row.revoked_at),
    }
