"""Machine-to-machine clients and their tokens."""

import secrets
from typing import Any

from auth import oauth, schemes
from domain.errors import Forbidden, OAuthRefusal
from domain.ids import fingerprint
from domain.principal import Principal
from domain.times import epoch_ms, iso, iso_or_none
from handlers.replies import Reply
from persistence import audit, database, m2m_clients


async def issue_m2m_token(body: dict[str, Any], request: Any) -> Reply:
    """Exchange a client's id and secret for a bearer token."""
    try:
        answer = await oauth.issue_token(body, request.headers.get("authorization"))
    except OAuthRefusal as refusal:
        if refusal.status == 401:
            await schemes.count_failure(request)
        raise
    return answer, 200, oauth.NO_STORE


async def create_m2m_client(body: dict[str, Any], user: Principal) -> Reply:
    """Make a client; its secret is in the answer and nowhere else."""
    scopes = list(dict.fromkeys(body["scopes"]))
    if "*" in scopes and "*" not in user.scopes:
        raise Forbidden("The credential lacks what it would give: *")
    lacking = [scope for scope in scopes if not user.may(scope)]
    if lacking:
        raise Forbidden(f"The credential lacks what it would give: {', '.join(lacking)}")
    org_id = str(user.org_id)
    secret = "m2ms_" + secrets.token_hex(32)
    async with database.transaction() as db:
        client = await m2m_clients.create(
            db,
            org_id,
            "m2m_" + secrets.token_hex(16),
            body["name"],
            fingerprint(secret),
            scopes,
        )
        await audit.append(
            db, org_id, user, "m2m_client.created", ("m2m_client", client.id), {"scopes": scopes}
        )
    shown = _client(client)
    del shown["revokedAt"]
    return {"client": {**shown, "clientSecret": secret}}, 201


async def list_m2m_clients(user: Principal, limit: int, cursor: str | None) -> Reply:
    """List the organization's clients, without their secrets."""
    async with database.statement() as db:
        page = await m2m_clients.list_page(db, str(user.org_id), limit, cursor)
    return {"clients": [_client(row) for row in page.rows], "nextCursor": page.next_cursor}, 200


async def revoke_m2m_client(client_id: str, user: Principal) -> Reply:
    """End a client and all its tokens at once."""
    org_id = str(user.org_id)
    async with database.transaction() as db:
        revoked_at, was_alive = await m2m_clients.revoke(db, org_id, client_id)
        if was_alive:
            await audit.append(db, org_id, user, "m2m_client.revoked", ("m2m_client", client_id))
    return {"revoked": True, "id": client_id, "revokedAt": iso(revoked_at)}, 200


def _client(row: Any) -> dict[str, Any]:
    return {
        "clientId": row.id,
        "name": row.name,
        "orgId": row.org_id,
        "scopes": row.scopes,
        "createdAt": epoch_ms(row.created_at),
        "revokedAt": iso_or_none(row.revoked_at),
    }
