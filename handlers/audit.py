"""The audit log of an organization: its rows, its keys, and whom it forgets."""

import hashlib
from typing import Any, Final

import orjson

from auth import audit_keys as making
from auth import keyring
from domain import personal_members
from domain.errors import Conflict
from domain.principal import Principal
from handlers.replies import Reply
from persistence import (
    audit,
    audit_chains,
    audit_keys,
    audit_log,
    audit_subjects,
    database,
)
from services.audit_rows import jwk, readable, shown, workspace_of
from services.audit_verification import verify

MOST_ROWS: Final = 200
MOST_OFFSET: Final = 2**53
MOST_KEYS_AN_HOUR: Final = 20
SUFFIX: Final = ".json"
FRESH: Final = "public, max-age=300, stale-while-revalidate=3600"


async def list_audit_events(
    user: Principal,
    limit: int,
    offset: int,
    entity_id: str | None,
    entity_type: str | None,
    workspace_id: str | None,
) -> Reply:
    """List the sealed rows of a chain, newest first."""
    workspace = workspace_of(user, workspace_id)
    limit, offset = min(max(limit, 1), MOST_ROWS), min(max(offset, 0), MOST_OFFSET)
    async with audit_log.of(workspace) as db:
        rows = await audit_log.newest(db, workspace, limit, offset, entity_type, entity_id)
        events = [shown(row) for row in rows]
        subjects = set[str]().union(
            *(personal_members.encrypted_for(event["payload"]) for event in events)
        )
        keys = await audit_subjects.keys_of(db, workspace, subjects) if subjects else {}
    return {"events": [readable(event, keys) for event in events]}, 200


async def get_audit_keys(workspace_id: str, request: Any) -> Reply:
    """Show all keys that ever signed a chain; a workspace that never was has none."""
    keys = await audit_keys.list_of(workspace_id.removesuffix(SUFFIX))
    document = {"keys": [jwk(key) for key in keys]}
    tag = f'"{hashlib.sha256(orjson.dumps(document)).hexdigest()[:32]}"'
    headers = {"Cache-Control": FRESH, "ETag": tag, "Access-Control-Allow-Origin": "*"}
    if _knows(request, tag):
        return None, 304, headers
    return document, 200, headers


async def rotate_audit_key(user: Principal, body: dict[str, Any] | None) -> Reply:
    """Make a new key for a chain and revoke the one that has signed it so far."""
    workspace = workspace_of(user, (body or {}).get("workspaceId"))
    made = making.new_signing_key(keyring.current().master)
    async with database.transaction() as db:
        # Each is shown to everybody for good, and everybody's sealing waits for it.
        if await audit_keys.count_of_last_hour(db, workspace) >= MOST_KEYS_AN_HOUR:
            raise Conflict(
                f"The chain has had {MOST_KEYS_AN_HOUR} keys within an hour; wait a while"
            )
        # Nobody seals meanwhile, so no row is signed by a key that is revoked already.
        await audit_chains.wait_for_lock(db)
        revoked = await audit_keys.revoke(db, workspace)
        await audit_keys.create(db, workspace, made.kid, made.public, made.secret_encrypted)
        await audit.append(
            db,
            None if workspace == making.SYSTEM else workspace,
            user,
            "audit_key.rotated",
            ("audit_key", made.kid),
            {"revoked": revoked},
        )
    keys = {key.kid: jwk(key) for key in await audit_keys.list_of(workspace)}
    return {"key": keys[made.kid], "revoked": revoked}, 201


async def verify_audit(user: Principal, body: dict[str, Any] | None) -> Reply:
    """Check a chain from a row on, as far as the time allows."""
    given = body or {}
    workspace = workspace_of(user, given.get("workspaceId"))
    return await verify(workspace, given.get("fromSequence", 1)), 200


async def forget_audit_subject(user: Principal, body: dict[str, Any]) -> Reply:
    """Make what the log says of a person unreadable for good."""
    workspace = workspace_of(user, body.get("workspaceId"))
    async with database.transaction() as db:
        chain = await audit_log.chain(db, workspace)
        forgotten = None
        if chain is not None:
            key = keyring.current().master.open(chain.subject_key, making.digest_context(workspace))
            digest = making.digest(key, personal_members.normal(body["subject"]))
            forgotten = await audit_subjects.forget(db, workspace, digest)
        if forgotten is not None:
            await audit.append(
                db,
                None if workspace == making.SYSTEM else workspace,
                user,
                "audit_subject.forgotten",
                ("audit_subject", forgotten),
            )
    return {"forgotten": forgotten is not None, "subjectId": forgotten}, 200


def _knows(request: Any, tag: str) -> bool:
    """Whether `If-None-Match` names this state; weak tags count (RFC 9110, 13.1.2)."""
    given = request.headers.getlist("if-none-match")
    tags = {each.strip().removeprefix("W/") for line in given for each in line.split(",")}
    return bool(tags & {tag, "*"})
