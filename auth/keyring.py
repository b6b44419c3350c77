"""The keys that sign tokens, one kind of token each, read from the database when first needed."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

import settings
from auth.sealing import MasterKey
from domain.errors import Unavailable
from domain.ids import new_id
from persistence import audit, database, signing_keys

RELOAD_SECONDS: Final = 0.1
"""At most so often are the keys read anew for an unknown id, however many forged ones come."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key: its id in tokens' headers, what it signs, and 32 secret bytes."""

    kid: str
    purpose: str
    secret: bytes = field(repr=False)
    active: bool


class Keyring:
    """The signing keys of this process, read anew when a token names one that is unknown.

    Another process may have made the key a moment ago, so only a reading that began after the token
    was shown can call it unknown. All who wait share that reading.
    """

    def __init__(self, master: MasterKey) -> None:
        self.master = master
        self._keys: dict[str, SigningKey] = {}
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def signer(self, purpose: str) -> SigningKey:
        """The active key of a purpose, made if the deployment has none yet."""
        found = self._active(purpose)
        if found is None:
            await self._load()
            found = self._active(purpose)
        if found is None:
            kid = new_id("sig")
            sealed = self.master.seal(secrets.token_bytes(32), key_context(kid))
            async with database.transaction() as db:
                if await signing_keys.create_if_none(db, purpose, kid, sealed):
                    about = {"purpose": purpose}
                    await audit.append(
                        db, None, None, "signing_key.made", ("signing_key", kid), about
                    )
            await self._load()
            found = self._active(purpose)
        if found is None:
            raise Unavailable("No signing key could be made; try again")
        return found

    async def find(self, kid: str) -> SigningKey | None:
        """The key with this id, active or retired; None for an id that was never one."""
        if kid not in self._keys:
            await self._load(since=time.monotonic())
        return self._keys.get(kid)

    def _active(self, purpose: str) -> SigningKey | None:
        return next((k for k in self._keys.values() if k.purpose == purpose and k.active), None)

    async def _load(self, since: float | None = None) -> None:
        """Read the keys; with `since` only if nobody has begun to since then, and not too often."""
        async with self._loading:
            if since is not None:
                if self._loaded_at >= since:
                    return
                await asyncio.sleep(self._loaded_at + RELOAD_SECONDS - time.monotonic())
            began = time.monotonic()
            async with database.statement() as db:
                rows = await signing_keys.list_all(db)
            self._keys = {
                row.kid: SigningKey(
                    row.kid,
                    row.purpose,
                    self.master.open(row.secret_encrypted, key_context(row.kid)),
                    row.retired_at is None,
                )
                for row in rows
            }
            self._loaded_at = began


def key_context(kid: str) -> str:
    """What a signing key is sealed with, so that rows cannot be swapped."""
    return f"signing key {kid}"


_keyring: Keyring | None = None


def start() -> None:
    """Make the key ring of this process from the settings' master keys."""
    global _keyring
    now = settings.current()
    master_key = now.master_key
    if master_key is None:
        raise settings.SettingsError(
            "RENSEI_MASTER_KEY is missing. Make one with `openssl rand -hex 32`, keep it, and "
            "start again."
        )
    _keyring = Keyring(MasterKey(master_key, now.previous_master_keys))


def current() -> Keyring:
    if _keyring is None:
        raise RuntimeError("no key ring: call auth.keyring.start() at start-up")
    return _keyring
