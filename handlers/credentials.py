"""Credentials for agents: kept, given to the worker of a session, and spread anew."""

from datetime import timedelta
from typing import Any, Final

from auth import credentials as sealed_credentials
from auth import keyring
from auth.sealing import WrongMasterKey
from domain.credentials import DEFAULT_ENVIRONMENT, Scope, environment, is_withheld, masked
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.ids import new_id
from domain.principal import Principal
from domain.session_states import ENDED
from domain.times import iso
from handlers.replies import Reply
from persistence import audit, credential_streams, credentials, database, projects, sessions
from persistence.ephemeral import nudges
from services import credential_watch
from services.ownership import hold

REFRESH_AFTER: Final = timedelta(hours=1)


async def set_credential(org_id: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store the variables of a kind, for the organization, a project or an environment."""
    user.require_org(org_id)
    kind, project_id, env_name = body["kind"], body.get("projectId"), body.get("envName")
    env = {each["name"]: each["value"] for each in body["variables"]}
    for name, value in env.items():
        if is_withheld(name, value):
            raise Invalid(
                f"body.variables: {name} is reserved, or holds a key to this server; agents are "
                "never given it"
            )
    async with database.transaction() as db:
        if project_id is not None and not await projects.find(
            db, org_id, user.projects, project_id, by_slug=False
        ):
            raise NotFound("Project not found")
        credential_id = await credentials.hold_place(
            db, org_id, kind, project_id, env_name, new_id("cred")
        )
        envelope = sealed_credentials.seal(
            keyring.current().master,
            env,
            sealed_credentials.context(org_id, kind, credential_id, project_id, env_name),
        )
        row = await credentials.put(
            db, org_id, credential_id, sorted(env), envelope.sealed, envelope.data_key
        )
        await _record(db, user, "credential.set", row)
    return {"credential": _credential(row)}, 200


async def list_credentials(org_id: str, user: Principal, limit: int, cursor: str | None) -> Reply:
    """List the organization's credentials, their values masked."""
    user.require_org(org_id)
    async with database.statement() as db:
        page = await credentials.list_page(db, org_id, limit, cursor)
    return {
        "credentials": [_credential(row) for row in page.rows],
        "nextCursor": page.next_cursor,
    }, 200


async def delete_credential(org_id: str, credential_id: str, user: Principal) -> Reply:
    """Remove a credential; what agents were given they keep until they ask again."""
    user.require_org(org_id)
    async with database.transaction() as db:
        row = await credentials.remove(db, org_id, credential_id)
        await _record(db, user, "credential.deleted", row)
    return {"deleted": True, "id": credential_id}, 200


async def credential_snapshot(body: dict[str, Any], user: Principal) -> Reply:
    """Give the worker of a session what its agent is to find in its environment."""
    org_id, session_id = _own_org(body, user), body["sessionId"]
    async with database.transaction() as db:
        session = await hold(db, user, session_id, None, None)
        if body.get("projectId") not in {None, session.project_id}:
            raise NotFound("Project not found")
        if session.status in ENDED:
            raise Conflict(f"Session is {session.status}; it is given no credentials any more")
        await sessions.change(db, org_id, session_id, {})
        scope = Scope(org_id, session.project_id, body.get("envName", DEFAULT_ENVIRONMENT))
        found = await credentials.snapshot(db, scope)
        master = keyring.current().master
        given = environment((sealed_credentials.unseal(master, row) for row in found.rows), scope)
        await audit.append(
            db,
            org_id,
            user,
            "credential.snapshot",
            ("session", session_id),
            {
                "projectId": scope.project_id,
                "envName": scope.env_name,
                "names": sorted(given.env),
            },
        )
    return {
        "env": dict(given.env),
        "refreshUntil": iso(found.now + REFRESH_AFTER),
        "lastEventId": str(found.last_number),
    }, 200


async def credential_rotate(body: dict[str, Any], user: Principal) -> Reply:
    """Spread the present values of a kind to every open stream they concern."""
    org_id, kind = _own_org(body, user), body["kind"]
    watch = credential_watch.current()
    async with database.transaction() as db:
        rows = await credentials.of_kind(db, org_id, kind)
        if not rows:
            raise NotFound("Credential not found")
        for row in rows:  # what does not open cannot be spread, and nobody is told that it was
            sealed_credentials.unseal(keyring.current().master, row)
        rotation = await credentials.rotate(db, org_id, kind)
        places = [(row.project_id, row.env_name) for row in rows]
        count = watch.count(org_id, places)
        for told in await credential_streams.elsewhere(db, org_id, watch.process_id):
            scope = Scope(org_id, told.project_id, told.env_name)
            count += told.streams * credential_watch.reaches(scope, org_id, places)
        await audit.append(
            db,
            org_id,
            user,
            "credential.rotated",
            ("credential_kind", kind),
            {"number": rotation.number, "sessionCount": count},
        )
    watch.look_soon()
    await nudges.try_nudge(nudges.credentials(org_id))
    return {
        "ok": True,
        "kind": kind,
        "sessionCount": count,
        "rotatedAt": iso(rotation.rotated_at),
    }, 200


def _own_org(body: dict[str, Any], user: Principal) -> str:
    if body["orgId"] != user.org_id:
        raise Forbidden("orgId is not the credential's own organization")
    return str(user.org_id)


async def _record(db: Any, user: Principal, event_type: str, row: Any) -> None:
    payload = {
        "kind": row.kind,
        "projectId": row.project_id,
        "envName": row.env_name,
        "names": row.names,
    }
    await audit.append(db, row.org_id, user, event_type, ("credential", row.id), payload)


def _credential(row: Any) -> dict[str, Any]:
    try:
        env = sealed_credentials.unseal(keyring.current().master, row).env
    except WrongMasterKey:
        env = {}
    return {
        "id": row.id,
        "orgId": row.org_id,
        "kind": row.kind,
        "projectId": row.project_id,
        "envName": row.env_name,
        "variables": [
            {"name": name, "masked": masked(env[name]) if name in env else None}
            for name in row.names
        ],
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
    }
