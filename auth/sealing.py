"""Encryption of what must be read back: AES-256-GCM under keys derived from the master key.

Everything opens under the present master key or one of the previous ones, and is sealed under the
present one, so that the master key can be changed: `supervisor/rewrap.py` brings over what is
stored.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from settings import Secret

NONCE_BYTES: Final = 12
DATA_KEY_BYTES: Final = 32


class WrongMasterKey(RuntimeError):
    """What is stored was encrypted under another master key, or was tampered with."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A secret under a key of its own, and that key under the master key."""

    data_key: bytes
    sealed: bytes


class MasterKey:
    """The deployment's one root secret: 32 bytes from `RENSEI_MASTER_KEY`."""

    def __init__(self, secret: Secret, previous: Sequence[Secret] = ()) -> None:
        self._root = bytes.fromhex(secret.value)
        self._aead = _sealing_key(self._root)
        self._previous = [_sealing_key(bytes.fromhex(each.value)) for each in previous]

    @property
    def has_previous(self) -> bool:
        """Whether something may still be stored under another master key than the present one."""
        return bool(self._previous)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HKDF-SHA256); the same every time."""
        return _derive(self._root, purpose)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt; `context` says what it is and must be given again to open it."""
        return _encrypt(self._aead, plain, context)

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt, whichever master key it was sealed under; raises `WrongMasterKey`."""
        for key in (self._aead, *self._previous):
            try:
                return _decrypt(key, sealed, context)
            except InvalidTag:
                continue
        raise WrongMasterKey(
            f"RENSEI_MASTER_KEY does not open {context}; start with the key it was made under, "
            "here or in RENSEI_MASTER_KEY_PREVIOUS"
        )

    def rewrap(self, sealed: bytes, context: str) -> bytes | None:
        """The same under the present master key; None when it is already."""
        try:
            _decrypt(self._aead, sealed, context)
        except InvalidTag:
            return self.seal(self.open(sealed, context), context)
        return None

    def enclose(self, plain: bytes, context: str) -> Envelope:
        """Encrypt under a fresh key, and that key under the master key."""
        data_key = secrets.token_bytes(DATA_KEY_BYTES)
        return Envelope(
            self.seal(data_key, data_key_context(context)),
            _encrypt(AESGCM(data_key), plain, context),
        )

    def disclose(self, envelope: Envelope, context: str) -> bytes:
        """What `enclose` was given; raises `WrongMasterKey`."""
        data_key = self.open(envelope.data_key, data_key_context(context))
        try:
            return _decrypt(AESGCM(data_key), envelope.sealed, context)
        except InvalidTag as error:
            raise WrongMasterKey(f"the data key of {context} does not open it") from error


def data_key_context(context: str) -> str:
    """What the data key of a secret is sealed with."""
    return f"data key of {context}"


def _derive(root: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"rensei:{purpose}".encode()).derive(root)


def _sealing_key(root: bytes) -> AESGCM:
    return AESGCM(_derive(root, "seal"))


def _encrypt(key: AESGCM, plain: bytes, context: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, context.encode())


def _decrypt(key: AESGCM, sealed: bytes, context: str) -> bytes:
    """Decrypt; whatever cannot be a ciphertext is as wrong as a wrong key: `InvalidTag`."""
    if len(sealed) < NONCE_BYTES:
        raise InvalidTag
    return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
