"""Encryption of what must be read back: AES-256-GCM under keys derived from the master key."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from settings import Secret

NONCE_BYTES: Final = 12


class WrongMasterKey(RuntimeError):
    """What is stored was encrypted under another master key, or was tampered with."""


class MasterKey:
    """The deployment's one root secret: 32 bytes from `RENSEI_MASTER_KEY`."""

    def __init__(self, secret: Secret) -> None:
        self._root = bytes.fromhex(secret.value)
        self._aead = AESGCM(self.derive("seal"))

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HKDF-SHA256); the same every time."""
        return HKDF(SHA256(), 32, salt=None, info=f"rensei:{purpose}".encode()).derive(self._root)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt; `context` says what it is and must be given again to open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt; raises `WrongMasterKey`."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except InvalidTag as error:
            raise WrongMasterKey(
                f"RENSEI_MASTER_KEY does not open {context}; start with the key it was made under"
            ) from error
