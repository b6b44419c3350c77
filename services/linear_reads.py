"""Issues that nobody has told of here, read from Linear where a credential is configured."""

import asyncio
import time
from typing import Any, Final

import settings
from domain import tracker_events
from domain.linear_events import Unreadable
from domain.principal import Principal
from outbound.guarded_client import GuardedClient
from outbound.linear import Linear, Rejected, TryAgain
from persistence import database, tracker_issues
from services import issue_reports, linear_access

PATIENCE_SECONDS: Final = 3.0
"""A worker waits for its answer; what takes longer is not found."""
AGAIN_SECONDS: Final = 15.0
"""How long nobody asks again for what Linear did not give."""
MOST_REMEMBERED: Final = 10_000

_missing: dict[tuple[str, str, str], float] = {}


async def learn(user: Principal, name: str) -> bool:
    """Read an issue that is not known here and store it; False when there is none to be had.

    It is the project's that the credential serves; one of several projects does not say which.
    What another project of the organization knows as its own is not read for this one.
    """
    if user.projects is None or len(user.projects) != 1:
        return False
    org_id, (project_id,) = str(user.org_id), user.projects
    place = (org_id, project_id, name)
    if _missing.get(place, 0.0) > time.monotonic():
        return False
    data = await _read(org_id, project_id, name)
    if data is not None and await _store(org_id, project_id, data):
        return True
    if len(_missing) >= MOST_REMEMBERED:
        _missing.clear()
    _missing[place] = time.monotonic() + AGAIN_SECONDS
    return False


async def _read(org_id: str, project_id: str, name: str) -> dict[str, Any] | None:
    if not await linear_access.has_credential(org_id):
        return None
    async with database.statement() as db:
        credential = await linear_access.credential(db, org_id, project_id)
    if credential is None:
        return None
    now = settings.current()
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            GuardedClient(now.allowed_private_hosts) as client,
        ):
            return await Linear(client, now.linear_api_url, credential).read_issue(name)
    except (Rejected, TryAgain, TimeoutError):
        return None


async def _store(org_id: str, project_id: str, data: dict[str, Any]) -> bool:
    try:
        reported = tracker_events.issue({"data": data})
    except Unreadable:
        return False
    async with database.transaction() as db:
        # Known here, though not to be shown: the tracker has taken it away, or it is another's.
        if await tracker_issues.is_known(db, org_id, reported.id):
            return False
        await issue_reports.learn(db, org_id, project_id, reported)
    return True
