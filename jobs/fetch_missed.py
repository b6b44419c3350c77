"""What GitHub failed to deliver is fetched from its API, since GitHub never tries again by itself.

It keeps its attempts for three days. Only an app's own key can list them, so a connection with that
key vouches for what it fetches; only events of the connection's own installation are taken.
"""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

import settings
from outbound.github import Attempt, GitHubApp, Rejected, TryAgain
from outbound.guarded_client import GuardedClient
from persistence import database, delivery_looks
from persistence.ephemeral import nudges
from services import connection_secrets, ingestion

LOOK_SECONDS: Final = 600.0
KEPT: Final = timedelta(days=3)
OVERLAP: Final = timedelta(minutes=15)
"""GitHub's clock is not ours, and an attempt is listed a while after it was made."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""A payload has 25 MB at the most, by GitHub's documentation."""
SECONDS: Final = 30.0
PATHS: Final = {
    "/api/webhooks/ingest/github": "github",
    "/api/webhooks/ingest/github-actions": "github-actions",
}

_log = logging.getLogger(__name__)


async def fetch_missed() -> int:
    """Look at every connection that is due; returns how many events came in."""
    count = 0
    while True:
        async with database.transaction() as db:
            due = await delivery_looks.take(db, LOOK_SECONDS)
        if due is None:
            return count
        try:
            count += await _look(due)
        except (TryAgain, Rejected) as error:
            _log.warning("connection %s: no look at deliveries: %s", due.connection_id, error)


async def _look(due: Any) -> int:
    """Fetch and store what one connection's webhook has missed since the last look."""
    now = settings.current()
    since = due.now - KEPT
    if due.looked_until is not None:
        since = max(since, due.looked_until - OVERLAP)
    key = connection_secrets.unseal(due.org_id, due.connection_id, due.secret_encrypted)
    async with GuardedClient(
        now.allowed_private_hosts, most_bytes=MOST_BYTES, total_seconds=SECONDS
    ) as client:
        app = GitHubApp(client, now.github_api_url, due.app_id, key)
        missed = await _missed(app, due, since)
        count, left = 0, 0
        for attempt in missed:
            try:
                count += await _fetch(app, due.org_id, attempt)
            except TryAgain as error:
                left += 1
                _log.warning("delivery %s is fetched later: %s", attempt.guid, error)
            except Rejected as error:
                _log.warning("delivery %s cannot be fetched: %s", attempt.guid, error)
    if not left:
        async with database.transaction() as db:
            await delivery_looks.ended(db, due.org_id, due.connection_id, due.now)
    return count


async def _missed(app: GitHubApp, due: Any, since: datetime) -> list[Attempt]:
    """The last attempt at every event that never arrived, the oldest first."""
    last: dict[str, Attempt] = {}
    arrived: set[str] = set()
    async for attempt in _attempts(app, since):
        if attempt.installation_id != due.installation_id:
            continue
        last.setdefault(attempt.guid, attempt)
        if attempt.arrived:
            arrived.add(attempt.guid)
    failed = [each for guid, each in last.items() if guid not in arrived]
    if not failed:
        return []
    async with database.transaction() as db:
        known = await delivery_looks.known(db, due.org_id, [each.guid for each in failed])
    return [each for each in reversed(failed) if each.guid not in known]


async def _attempts(app: GitHubApp, since: datetime) -> AsyncIterator[Attempt]:
    cursor = None
    while True:
        found, cursor = await app.attempts(cursor)
        for attempt in found:
            if attempt.at < since:
                return
            yield attempt
        if cursor is None or not found:
            return


async def _fetch(app: GitHubApp, org_id: str, attempt: Attempt) -> int:
    """Store what an attempt sent; 1 when that is new and was meant for this server's gateway."""
    sent = await app.sent(attempt.id)
    # The gateway may lie below a path of its own, and anything else is another server's hook.
    path = urlsplit(sent.url).path
    provider = next((PATHS[each] for each in PATHS if path.endswith(each)), None)
    if provider is None:
        return 0
    delivery = ingestion.Delivery(
        provider, org_id, orjson.dumps(sent.payload), sent.payload, attempt.guid, sent.event
    )
    async with database.transaction() as db:
        stored = await ingestion.ingest(db, delivery, fetched=True)
    if stored is None:
        return 0
    await nudges.try_nudge(nudges.EVENTS)
    return 1
