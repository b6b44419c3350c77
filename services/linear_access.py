"""What the server writes to Linear with: the organization's connection, or else its own key."""

import time
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

import settings
from persistence import connections
from services import connection_secrets
from settings import Secret

LINEAR: Final = "linear"
REMEMBERED_SECONDS: Final = 5.0
MOST_REMEMBERED: Final = 10_000

# Whether an organization is connected, and until when that is believed. Reports of workers ask on
# every call; what goes out is decided anew when it is sent.
_known: dict[str, tuple[bool, float]] = {}


async def has_credential(org_id: str) -> bool:
    """Whether the server may write to an organization's Linear, as it was a few seconds ago."""
    if _server_key(org_id) is not None:
        return True
    found, until = _known.get(org_id, (False, 0.0))
    if until <= time.monotonic():
        found = await connections.has_any(org_id, LINEAR)
        if len(_known) >= MOST_REMEMBERED:
            _known.clear()
        _known[org_id] = (found, time.monotonic() + REMEMBERED_SECONDS)
    return found


def forget(org_id: str) -> None:
    """Look anew: this process has changed the organization's connections."""
    _known.pop(org_id, None)


async def credential(db: AsyncConnection, org_id: str, project_id: str) -> Secret | None:
    """What to write with for a project; None when there is nothing."""
    chosen = await connections.chosen(db, org_id, project_id, LINEAR)
    if chosen is None:
        return _server_key(org_id)
    return Secret(connection_secrets.unseal(org_id, chosen.id, chosen.secret_encrypted))


def _server_key(org_id: str) -> Secret | None:
    now = settings.current()
    return now.linear_api_key if now.linear_api_key_org == org_id else None
