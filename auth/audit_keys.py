"""The keys of the audit chains: those that sign rows, and those that open personal members.

All are sealed under the master key with a context of their own, so that rows cannot be swapped.
"""

import base64
import hashlib
import hmac
import secrets
from binascii import Error as NotBase64
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auth.sealing import NONCE_BYTES, MasterKey
from domain.ids import new_id

SYSTEM: Final = "system"
"""The chain of what belongs to no organization."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A signing key just made: its id, its public part, and its private part, sealed."""

    kid: str
    public: bytes
    secret_encrypted: bytes
    private: Ed25519PrivateKey = field(repr=False)


def new_signing_key(master: MasterKey) -> NewKey:
    """Make a key pair at random; nothing derives it from another."""
    private = Ed25519PrivateKey.generate()
    kid = new_id("audk")
    sealed = master.seal(private.private_bytes_raw(), signing_context(kid))
    return NewKey(kid, private.public_key().public_bytes_raw(), sealed, private)


def open_signing_key(master: MasterKey, kid: str, secret_encrypted: bytes) -> Ed25519PrivateKey:
    """The private part; raises `WrongMasterKey`."""
    return Ed25519PrivateKey.from_private_bytes(master.open(secret_encrypted, signing_context(kid)))


def signing_context(kid: str) -> str:
    """What a private part is sealed with."""
    return f"audit key {kid}"


def digest_context(workspace_id: str) -> str:
    """What the key of a chain's digests is sealed with."""
    return f"audit subjects of {workspace_id}"


def subject_context(workspace_id: str, subject_id: str) -> str:
    """What the key of a subject is sealed with."""
    return f"audit subject {subject_id} of {workspace_id}"


def new_digest_key(master: MasterKey, workspace_id: str) -> bytes:
    """The key that makes the digests of a chain's subjects, sealed."""
    return master.seal(secrets.token_bytes(32), digest_context(workspace_id))


def digest(digest_key: bytes, subject: str) -> bytes:
    """What a subject is found by: keyed, so that nobody can try addresses on the stored ones."""
    return hmac.new(digest_key, subject.encode(), hashlib.sha256).digest()


class SubjectKey:
    """The key under which what is said of one subject is encrypted."""

    def __init__(self, workspace_id: str, subject_id: str, key: bytes) -> None:
        self.id = subject_id
        self._workspace_id = workspace_id
        self._aead = AESGCM(key)

    @classmethod
    def new(cls, master: MasterKey, workspace_id: str) -> tuple["SubjectKey", bytes]:
        """A fresh key under a fresh id, and its sealed form."""
        key, subject_id = secrets.token_bytes(32), new_id("sub")
        sealed = master.seal(key, subject_context(workspace_id, subject_id))
        return cls(workspace_id, subject_id, key), sealed

    @classmethod
    def open(
        cls, master: MasterKey, workspace_id: str, subject_id: str, sealed: bytes
    ) -> "SubjectKey":
        """The key of a stored subject; raises `WrongMasterKey`."""
        key = master.open(sealed, subject_context(workspace_id, subject_id))
        return cls(workspace_id, subject_id, key)

    def encrypt(self, member: str, value: str) -> str:
        """Encrypt a member's value; a ciphertext opens nowhere else."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(
            nonce + self._aead.encrypt(nonce, value.encode(), self._place(member))
        ).decode()

    def decrypt(self, member: str, text: str) -> str | None:
        """The value; None for what this key did not encrypt for this place."""
        try:
            sealed = base64.b64decode(text, validate=True)
            plain = self._aead.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._place(member)
            )
        except (InvalidTag, NotBase64, ValueError):
            return None
        return plain.decode()

    def _place(self, member: str) -> bytes:
        return f"{self._workspace_id}\n{self.id}\n{member}".encode()
