"""The ids and secrets this server makes."""

import hashlib
import hmac
import secrets
from typing import Final

KEY_PREFIX: Final = "rsk_live_"
SHOWN_CHARACTERS: Final = 13  # of a key: its prefix and four digits


def new_id(prefix: str) -> str:
    """A fresh id such as `wkr_3e91b0c27a5d48f6`: 64 random bits."""
    return f"{prefix}_{secrets.token_hex(8)}"


def new_api_key() -> str:
    """`rsk_live_` and 32 random bytes in hex, 73 characters."""
    return KEY_PREFIX + secrets.token_hex(32)


def fingerprint(secret: str) -> bytes:
    """What is stored of a secret that is random enough by itself: its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()


def public_session_id(session_id: str, salt: bytes) -> str:
    """16 hex digits that name a session outside the worker protocol.

    Keyed, so that nobody can compute it from a tracker's id (`contract/sessions-public.md` 0.2).
    """
    return hmac.new(salt, session_id.encode(), hashlib.sha256).hexdigest()[:16]
