"""GitHub tokens for workers: made outside of every poll, kept until shortly before they end.

Each process keeps its own, in memory. What a token is for is compared with every poll, so a change
of the connection or of the project's repositories counts with the next one.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

import settings
from domain.errors import Unavailable
from domain.repositories import full_name, host_of_api, https_url
from domain.times import iso
from outbound.github import GitHubApp, InstallationToken, Rejected, TryAgain
from outbound.guarded_client import GuardedClient
from persistence import audit, connections, database
from services import connection_secrets, tasks

RENEW_SECONDS: Final = 600.0
"""A token that ends sooner is replaced; until then the old one is handed out."""
LEAST_SECONDS: Final = 60.0
"""A token that ends sooner is of no use to anybody."""
PATIENCE_SECONDS: Final = 2.0
"""How long the answer of a poll that has claimed something waits for its first token."""
AGAIN_SECONDS: Final = 30.0
"""How long nothing is asked after GitHub has said no, unless it said how long itself."""
MOST_KEPT: Final = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """What a token is for."""

    org_id: str
    project_id: str
    connection_id: str
    version: int
    repositories: tuple[str, ...]
    """The clone URLs, those on GitHub only."""


class _Entry:
    """The token of one project, and what is known of getting it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.token: InstallationToken | None = None
        self.minting: asyncio.Task[None] | None = None
        self.again_at = float("-inf")
        self.told: str | None = None

    @property
    def seconds_left(self) -> float:
        if self.token is None:
            return 0.0
        return (self.token.expires_at - datetime.now(UTC)).total_seconds()

    @property
    def is_minting(self) -> bool:
        return self.minting is not None and not self.minting.done()


def access_of(org_id: str, row: Any) -> Access | None:
    """What a row of `queue.claim` says of the worker's project; None without anything to open."""
    if row.git_connection_id is None:
        return None
    host = host_of_api(settings.current().github_api_url)
    urls = [row.project_repository, *(each["cloneUrl"] for each in row.other_repositories)]
    ours = tuple(dict.fromkeys(url for url in urls if full_name(url, host)))
    if not ours:
        return None
    return Access(org_id, row.own_project_id, row.git_connection_id, row.git_version, ours)


class GitTokens:
    """All tokens of one process."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._minting: set[asyncio.Task[None]] = set()

    async def credentials(self, org_id: str, row: Any, *, claimed: bool) -> list[dict[str, str]]:
        """The contract's GitCredentials for a worker that has work; never raises for GitHub's sake.

        Only who has just claimed something waits for a token, and not for long. Without one the
        answer goes out, the token is made meanwhile, and a later poll brings it.
        """
        if not claimed and not row.holds_work:
            return []
        access = access_of(org_id, row)
        if access is None:
            return []
        entry = self._entry(access)
        clock = asyncio.get_running_loop().time
        if (
            entry.seconds_left < RENEW_SECONDS
            and not entry.is_minting
            and clock() >= entry.again_at
        ):
            entry.minting = asyncio.create_task(_mint(entry))
            self._minting.add(entry.minting)
            entry.minting.add_done_callback(self._minting.discard)
        if claimed and entry.minting and entry.is_minting and entry.seconds_left < LEAST_SECONDS:
            await asyncio.wait({entry.minting}, timeout=PATIENCE_SECONDS)
        return list(_shown(entry))

    def _entry(self, access: Access) -> _Entry:
        key = access.org_id, access.project_id
        entry = self._entries.get(key)
        if entry is None or entry.access != access:
            if len(self._entries) >= MOST_KEPT:
                self._entries.pop(next(iter(self._entries)))
            entry = self._entries[key] = _Entry(access)
        return entry

    async def close(self) -> None:
        await tasks.end(*self._minting)


def _shown(entry: _Entry) -> Iterator[dict[str, str]]:
    """One credential per repository that the token opens."""
    token = entry.token
    if token is None or entry.seconds_left < LEAST_SECONDS:
        return
    host = host_of_api(settings.current().github_api_url)
    for url in entry.access.repositories:
        if str(full_name(url, host)).lower() in token.repositories:
            yield {
                "token": token.token,
                "cloneUrl": https_url(url, host),
                "expiresAt": iso(token.expires_at),
            }


async def _mint(entry: _Entry) -> None:
    """Ask GitHub for a token and keep it, or note why there is none and when to ask again."""
    wait, why = AGAIN_SECONDS, ""
    try:
        token = await _token(entry.access)
        if token is None:  # the connection changed: the next poll asks for another token
            return
        await _record_opened(entry.access, token)
        entry.token, entry.told = token, None
    except TryAgain as again:
        wait, why = max(wait, again.wait_seconds or 0.0), str(again)
    except Rejected as rejected:
        why = str(rejected)
    except Unavailable:
        wait = 1.0
    except Exception:
        _log.exception("no token for project %s", entry.access.project_id)
    entry.again_at = asyncio.get_running_loop().time() + wait
    # Said once until it works again or another reason turns up.
    if why and why != entry.told:
        _log.warning("no GitHub token for project %s: %s", entry.access.project_id, why)
        try:
            await _record(entry.access, "git_token.refused", {"reason": why})
        except Unavailable:
            return
        entry.told = why


async def _token(access: Access) -> InstallationToken | None:
    now = settings.current()
    stored = await connections.sealed(access.org_id, access.connection_id, access.version)
    if stored is None:
        return None
    key = connection_secrets.unseal(access.org_id, access.connection_id, stored.secret_encrypted)
    host = host_of_api(now.github_api_url)
    async with GuardedClient(now.allowed_private_hosts) as client:
        app = GitHubApp(client, now.github_api_url, stored.app_id, key)
        return await app.installation_token(
            stored.installation_id, [str(full_name(url, host)) for url in access.repositories]
        )


async def _record_opened(access: Access, token: InstallationToken) -> None:
    """Note what GitHub has opened: it says whose the events of these repositories are."""
    host = host_of_api(settings.current().github_api_url)
    places = {f"{host}/{name}" for name in token.repositories}
    async with database.transaction() as db:
        await connections.note_opened(
            db, access.org_id, access.connection_id, access.version, places
        )
        await _append(db, access, "git_token.minted", {"expiresAt": iso(token.expires_at)})


async def _record(access: Access, event_type: str, payload: dict[str, Any]) -> None:
    async with database.transaction() as db:
        await _append(db, access, event_type, payload)


async def _append(
    db: AsyncConnection, access: Access, event_type: str, payload: dict[str, Any]
) -> None:
    await audit.append(
        db,
        access.org_id,
        None,
        event_type,
        ("connection", access.connection_id),
        {"projectId": access.project_id, "repositories": list(access.repositories), **payload},
    )


_tokens: GitTokens | None = None


def open_tokens() -> GitTokens:
    """Make the tokens of this process, from the event loop that will use them."""
    global _tokens
    _tokens = GitTokens()
    return _tokens


def current() -> GitTokens:
    """The tokens of this process; `open_tokens` comes first."""
    if _tokens is None:
        raise RuntimeError("no tokens: call services.git_tokens.open_tokens() at start-up")
    return _tokens
