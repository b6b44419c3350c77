"""The row of the audit log as it is hashed and signed.

Members and order of the hash follow the profile of the audit log's reference page: SHA-256 over the
RFC 8785 form of ten members, with the hash of the row before appended as text; Ed25519 (RFC 8032)
over the SHA-256 of the row's whole RFC 8785 form without its signature.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.times import iso

GENESIS: Final = "0" * 64
"""The previous hash of a chain's first row."""

SAFE: Final = 2**53 - 1
"""The largest integer up to which every integer is a number of JSON's (RFC 7493)."""

DEEPEST: Final = 100
"""Levels of a payload; what lies below is left out, since no reader could follow it for ever."""

LEFT_OUT: Final = "[nested too deeply]"

UNWRITABLE: Final = "\ufffd"
"""Stands for what neither RFC 8785 nor PostgreSQL can hold: half a surrogate pair, NUL."""


class NotCanonical(ValueError):
    """A value that has no RFC 8785 form, or that the form would silently change."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened: the ten members of a row that its hash covers.

    The payload is what `storable` made of it.
    """

    id: str
    workspace_id: str
    sequence_number: int
    event_type: str
    actor_id: str | None
    actor_type: str
    entity_type: str | None
    entity_id: str | None
    payload: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Seal:
    """What the chain adds to an entry, as the row stores it."""

    prev_hash: str
    entry_hash: str
    signing_key_id: str
    signature: str


def in_order(occurred_at: datetime, row_before: datetime | None) -> datetime:
    """The instant that a row is given: a chain never goes back in time.

    Of two transactions the longer one may begin first and be sealed last, and a clock may be set
    back; such a row takes the instant of the row before it. A step back in a stored chain is
    therefore always a sign of tampering.
    """
    return occurred_at if row_before is None else max(occurred_at, row_before)


def seal(entry: Entry, prev_hash: str, key_id: str, key: Ed25519PrivateKey) -> Seal:
    """Append an entry to its chain: hash it after the row before, and sign it."""
    members = _members(entry)
    hashed = _hash(members, prev_hash)
    signature = key.sign(_digest(members, prev_hash, hashed, key_id))
    return Seal(prev_hash, hashed, key_id, base64.b64encode(signature).decode())


def canonical_form(entry: Entry) -> bytes:
    """The RFC 8785 form that the entry's hash begins with."""
    return _object(_members(entry))


def entry_hash(entry: Entry, prev_hash: str) -> str:
    """Lowercase hex of SHA-256 over the canonical form and the 64 characters of the hash before."""
    return _hash(_members(entry), prev_hash)


def signed_digest(entry: Entry, prev_hash: str, hashed: str, key_id: str) -> bytes:
    """The 32 bytes that are signed: all members of the row but the signature."""
    return _digest(_members(entry), prev_hash, hashed, key_id)


def examine(entry: Entry, sealed: Seal, key: Ed25519PublicKey) -> tuple[str, bool]:
    """What the row's hash should be, and whether it is signed: `entry_hash` and `is_signed` with
    half their work."""
    members = _members(entry)
    hashed = _hash(members, sealed.prev_hash)
    return hashed, _is_signed(members, sealed, key)


def is_signed(entry: Entry, sealed: Seal, key: Ed25519PublicKey) -> bool:
    """Whether the signature is this key's, over this row."""
    return _is_signed(_members(entry), sealed, key)


def _is_signed(members: Mapping[str, bytes], sealed: Seal, key: Ed25519PublicKey) -> bool:
    try:
        signature = base64.b64decode(sealed.signature, validate=True)
        key.verify(
            signature,
            _digest(dict(members), sealed.prev_hash, sealed.entry_hash, sealed.signing_key_id),
        )
    except (InvalidSignature, binascii.Error):
        return False
    return True


def storable(value: Any, depth: int = 0) -> Any:
    """What comes back from JSON and from PostgreSQL as it went in, and has an RFC 8785 form.

    Integers that a double does not hold, and numbers that are none, become text; half a surrogate
    pair and NUL become U+FFFD; what is nested too deeply is left out. The rest stays as it is.
    """
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _is_double(value) else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth == DEEPEST:
        return LEFT_OUT
    if isinstance(value, Mapping):
        return {_writable(str(key)): storable(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(each, depth + 1) for each in value]
    return _writable(str(value))


def canonical(value: Any) -> bytes:
    """The RFC 8785 form of a value that came from JSON; raises `NotCanonical`."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        # A large double such as 1e20 is written without a point, and so comes back as an integer.
        return canonical(_doubles(value))
    except (ValueError, RecursionError) as wrong:
        raise NotCanonical(str(wrong)) from wrong


def _members(entry: Entry) -> dict[str, bytes]:
    return {
        "actorId": canonical(entry.actor_id),
        "actorType": canonical(entry.actor_type),
        "entityId": canonical(entry.entity_id),
        "entityType": canonical(entry.entity_type),
        "eventType": canonical(entry.event_type),
        "id": canonical(entry.id),
        "occurredAt": canonical(iso(entry.occurred_at)),
        "payload": canonical(dict(entry.payload)),
        "sequenceNumber": canonical(entry.sequence_number),
        "workspaceId": canonical(entry.workspace_id),
    }


def _object(members: Mapping[str, bytes]) -> bytes:
    """An object of members that are canonical already; their names are plain ASCII."""
    return b"{" + b",".join(b'"%b":%b' % (n.encode(), members[n]) for n in sorted(members)) + b"}"


def _hash(members: Mapping[str, bytes], prev_hash: str) -> str:
    return hashlib.sha256(_object(members) + prev_hash.encode()).hexdigest()


def _digest(members: Mapping[str, bytes], prev_hash: str, hashed: str, key_id: str) -> bytes:
    sealed = {
        "prevHash": canonical(prev_hash),
        "entryHash": canonical(hashed),
        "signingKeyId": canonical(key_id),
    }
    return hashlib.sha256(_object({**members, **sealed})).digest()


def _writable(text: str) -> str:
    text = text.replace("\x00", UNWRITABLE)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Halves that belong together become the character they are.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _is_double(number: int) -> bool:
    """Whether the integer is a double's shortest decimal form, and so means that double alone."""
    if abs(number) <= SAFE:
        return True
    try:
        return Decimal(repr(float(number))) == number
    except OverflowError:
        return False


def _doubles(value: Any) -> Any:
    """The value with its large integers as the doubles they are."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE:
        if not _is_double(value):
            raise NotCanonical(f"{value} is no number that JSON can hold exactly")
        return float(value)
    if isinstance(value, Mapping):
        return {key: _doubles(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_doubles(member) for member in value]
    return value
