"""Sealed rows as entries to be checked, and as everybody is shown them."""

import base64
import json
from typing import Any

from auth import keyring
from auth.audit_keys import SYSTEM, SubjectKey
from domain import personal_members
from domain.audit_entries import Entry, Seal
from domain.errors import NotFound
from domain.principal import Kind, Principal
from domain.times import iso, iso_or_none

SAFE = 2**53 - 1
MOST_UNREADABLE = 1_000


def workspace_of(user: Principal, asked: str | None) -> str:
    """The chain that is asked for: the caller's own, or for the system key any."""
    own = user.org_id or SYSTEM
    if asked is None or asked == own:
        return own
    if user.kind is Kind.SYSTEM:
        return asked
    raise NotFound("Workspace not found")


def payload_of(row: Any) -> dict[str, Any]:
    """The payload as it was hashed; large doubles stay doubles, whoever reads them next.

    What somebody has made unreadable is shown as that: its hash says the rest.
    """
    try:
        payload = json.loads(row.payload, parse_int=_number)
    except (ValueError, ArithmeticError, RecursionError):
        payload = None
    return payload if isinstance(payload, dict) else {"unreadable": row.payload[:MOST_UNREADABLE]}


def _number(text: str) -> int | float:
    number = int(text)
    return number if abs(number) <= SAFE else float(number)


def entry_of(row: Any) -> Entry:
    """What the row's hash covers."""
    return Entry(
        row.id,
        row.workspace_id,
        row.sequence_number,
        row.event_type,
        row.actor_id,
        row.actor_type,
        row.entity_type,
        row.entity_id,
        payload_of(row),
        row.occurred_at,
    )


def seal_of(row: Any) -> Seal:
    """What the chain added to it."""
    return Seal(
        row.prev_hash.hex(),
        row.entry_hash.hex(),
        row.signing_key_id,
        base64.b64encode(row.signature).decode(),
    )


def shown(row: Any) -> dict[str, Any]:
    """The row on the wire."""
    return shown_with(row, payload_of(row))


def shown_with(row: Any, payload: Any) -> dict[str, Any]:
    """The row on the wire, its payload as it is given."""
    return {
        "id": row.id,
        "workspaceId": row.workspace_id,
        "sequenceNumber": row.sequence_number,
        "eventType": row.event_type,
        "actorId": row.actor_id,
        "actorType": row.actor_type,
        "entityType": row.entity_type,
        "entityId": row.entity_id,
        "payload": payload,
        "prevHash": row.prev_hash.hex(),
        "entryHash": row.entry_hash.hex(),
        "occurredAt": iso(row.occurred_at),
        "signature": base64.b64encode(row.signature).decode(),
        "signingKeyId": row.signing_key_id,
    }


def readable(event: dict[str, Any], keys: dict[str, bytes]) -> dict[str, Any]:
    """The event, with a readable form of its payload when parts of it are encrypted.

    `keys` are the sealed ones of the subjects that were not forgotten.
    """
    if not personal_members.encrypted_for(event["payload"]):
        return event
    master, workspace_id = keyring.current().master, event["workspaceId"]

    def decrypt(subject_id: str, member: str, text: str) -> str | None:
        if subject_id not in keys:
            return None
        key = SubjectKey.open(master, workspace_id, subject_id, keys[subject_id])
        return key.decrypt(member, text)

    return {**event, "readablePayload": personal_members.readable(event["payload"], decrypt)}


def jwk(key: Any) -> dict[str, Any]:
    """The public part of a key (RFC 8037)."""
    return {
        "kid": key.kid,
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "x": base64.urlsafe_b64encode(key.public_key).decode().rstrip("="),
        "rensei:workspace_id": key.workspace_id,
        "rensei:created_at": iso(key.created_at),
        "rensei:revoked_at": iso_or_none(key.revoked_at),
    }
