"""Logs made from the values of the domain, and the bundles that a server would export of them."""

import base64
import gzip
import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain import merkle
from domain.audit_entries import GENESIS, Entry, seal
from domain.checkpoints import Checkpoint, origin, sign
from domain.times import iso

START = datetime(2026, 7, 1, 9, tzinfo=UTC)
WORKSPACE = "org_demo"
PAYLOADS = (
    {},
    {"issue": "ENG-7", "workType": "qa"},
    {"text": 'Zoë\u2028"\\\u0001\U0001f600', "רכב": ["a", {"b": None}]},
    {"cost": 0.1, "large": 1e21, "small": 5e-7, "whole": 3.0, "big": 2**53 - 1},
    {"nested": [[[[{"deep": [1, 2, [3, {}]]}]]]], "yes": True},
)


def encoded(value):
    return base64.b64encode(value).decode()


@dataclass
class SigningKey:
    kid: str
    private: Ed25519PrivateKey
    created_at: datetime
    revoked_at: datetime | None = None
    workspace: str = WORKSPACE

    def jwk(self):
        x = base64.urlsafe_b64encode(self.private.public_key().public_bytes_raw())
        return {
            "kid": self.kid,
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "x": x.decode().rstrip("="),
            "rensei:workspace_id": self.workspace,
            "rensei:created_at": iso(self.created_at),
            "rensei:revoked_at": self.revoked_at and iso(self.revoked_at),
        }


def signing_key(kid, seed, created_at=START, **more):
    private = Ed25519PrivateKey.from_private_bytes(random.Random(seed).randbytes(32))
    return SigningKey(kid, private, created_at, **more)


class Log:
    """A log whose keeper may do everything, as one who holds database and keys may."""

    def __init__(self, rows=0, seed=1, workspace=WORKSPACE, rotate_at=None):
        self.random = random.Random(seed)
        self.workspace = workspace
        self.keys = [signing_key(f"key_{seed}_1", seed, workspace=workspace)]
        self.entries = []
        self.seals = []
        for number in range(1, rows + 1):
            if number == rotate_at:
                self.rotate()
            self.append()

    @property
    def key(self):
        return self.keys[-1]

    def now(self):
        return START + timedelta(seconds=len(self.entries) * 7)

    def rotate(self):
        self.key.revoked_at = self.now() - timedelta(milliseconds=1)
        number = len(self.keys) + 1
        self.keys.append(
            signing_key(
                f"{self.key.kid[:-1]}{number}",
                self.random.random(),
                self.now(),
                workspace=self.workspace,
            )
        )

    def append(self):
        number = len(self.entries) + 1
        entry = Entry(
            id=f"aud_{number:06}",
            workspace_id=self.workspace,
            sequence_number=number,
            event_type=self.random.choice(["session.started", "session.stopped", "key.created"]),
            actor_id=self.random.choice([None, "user_ada", "key_1"]),
            actor_type="user",
            entity_type="session",
            entity_id=self.random.randbytes(8).hex(),
            payload=self.random.choice(PAYLOADS),
            occurred_at=self.now(),
        )
        before = self.seals[-1].entry_hash if self.seals else GENESIS
        self.entries.append(entry)
        self.seals.append(seal(entry, before, self.key.kid, self.key.private))

    def resign(self, start, keys=None):
        """Seal every row from `start` (a place, from 0) anew, as the holder of the keys can."""
        by_id = {key.kid: key for key in keys or self.keys}
        for place in range(start, len(self.entries)):
            before = self.seals[place - 1].entry_hash if place else GENESIS
            entry = replace(self.entries[place], sequence_number=place + 1)
            kid = self.seals[place].signing_key_id
            self.entries[place] = entry
            self.seals[place] = seal(entry, before, kid, by_id[kid].private)

    def nodes(self, size=None):
        size = len(self.seals) if size is None else size
        hashes = (bytes.fromhex(each.entry_hash) for each in self.seals[:size])
        return merkle.grow(0, hashes, {})

    def checkpoint(self, size=None, key=None, host="rensei.example"):
        size = len(self.seals) if size is None else size
        root = merkle.root(size, self.nodes(size))
        point = Checkpoint(origin(host, self.workspace), size, root)
        return sign(point, (key or self.key).private).text()

    def event(self, place):
        entry, sealed = self.entries[place], self.seals[place]
        return {
            "type": "event",
            "id": entry.id,
            "workspaceId": entry.workspace_id,
            "sequenceNumber": entry.sequence_number,
            "eventType": entry.event_type,
            "actorId": entry.actor_id,
            "actorType": entry.actor_type,
            "entityType": entry.entity_type,
            "entityId": entry.entity_id,
            "payload": json.loads(json.dumps(entry.payload)),
            "prevHash": sealed.prev_hash,
            "entryHash": sealed.entry_hash,
            "occurredAt": iso(entry.occurred_at),
            "signature": sealed.signature,
            "signingKeyId": sealed.signing_key_id,
        }

    def jwks(self):
        return {"keys": [key.jwk() for key in self.keys]}

    def proof(self, number, size):
        hashes = merkle.inclusion(number - 1, size, self.nodes(size))
        return {
            "type": "proof",
            "kind": "inclusion",
            "sequenceNumber": number,
            "treeSize": size,
            "hashes": [encoded(each) for each in hashes],
        }

    def bundle(self, first=1, last=None, size=None):
        """The lines of a bundle, as values that a test may spoil."""
        size = len(self.seals) if size is None else size
        last = size if last is None else last
        return [
            {
                "type": "bundle",
                "version": 1,
                "workspaceId": self.workspace,
                "from": first,
                "to": last,
                "treeSize": size,
            },
            {"type": "keys", **self.jwks()},
            {"type": "checkpoint", "text": self.checkpoint(size)},
            *(self.proof(number, size) for number in sorted({first, last}) if first <= last),
            *(self.event(place) for place in range(first - 1, last)),
            {"type": "end", "count": last - first + 1},
        ]


def write(path: Path, lines) -> str:
    """A bundle as a file."""
    text = "".join(
        line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) + "\n"
        for line in lines
    )
    path.write_bytes(gzip.compress(text.encode("utf-8", "surrogatepass"), 1))
    return str(path)
