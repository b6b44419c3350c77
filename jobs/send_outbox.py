"""The tracker is told what the outbox holds."""

import asyncio
import hashlib
import logging
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row

import settings
from domain.errors import Unavailable
from domain.tracker_messages import agent_session_of
from jobs.lanes import total
from outbound.guarded_client import GuardedClient
from outbound.linear import Linear, Rejected, TryAgain
from persistence import database, outbox
from services import linear_access

MOST_TRIES: Final = 8
FIRST_WAIT_SECONDS: Final = 2.0
GROWTH: Final = 3  # eight tries span at least 36 minutes
AT_ONCE: Final = 4

SENDING_SECONDS: Final = 60.0
"""How long a row is its sender's. Sending is given less, so a living sender is done by then."""
PATIENCE_SECONDS: Final = 40.0

_log = logging.getLogger(__name__)


async def send_outbox() -> int:
    """Send every row that is due, a few sessions at a time; returns how many were tried.

    A row is taken in one transaction, sent in none, and settled in another. A crash between leaves
    it `sending`; it is sent again when its time is over, with the id that it had before.
    """
    first = await _take()
    if first is None:
        return 0
    async with GuardedClient(settings.current().allowed_private_hosts) as client:
        lanes = [_lane(client, first), *(_lane(client, None) for _ in range(AT_ONCE - 1))]
        return await total(lanes)


async def _lane(client: GuardedClient, row: Row[Any] | None) -> int:
    count = 0
    while row := row or await _take():
        await _work_on(client, row)
        count, row = count + 1, None
    return count


async def _take() -> Row[Any] | None:
    async with database.transaction() as db:
        return await outbox.next_due(db, SENDING_SECONDS)


async def _work_on(client: GuardedClient, row: Row[Any]) -> None:
    """Send one row and write down what came of it."""
    error, status = None, "sent"
    wait, limited = FIRST_WAIT_SECONDS * GROWTH ** (row.attempts - 1), False
    try:
        # More than the last try means that the last try's sender did not live to tell.
        if row.attempts > MOST_TRIES:
            raise Rejected("given up: its sender ended on the last try")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _send(client, row)
    except Rejected as rejected:
        error, status = str(rejected), "dead"
    except TryAgain as again:
        error, status = str(again), "waiting"
        if again.wait_seconds is not None:
            wait, limited = again.wait_seconds, True
    except Unavailable:
        raise
    except Exception as unforeseen:
        error, status = type(unforeseen).__name__, "waiting"
        _log.exception("outbox row %s failed; it is tried again", row.id)
    async with database.transaction() as db:
        if status == "waiting":
            status = await outbox.put_off(db, row, wait, MOST_TRIES, str(error))
            if limited:
                await outbox.hold_back(db, row.org_id, wait)
        else:
            await outbox.settle(db, row.id, status, error)
    if status == "dead":
        _log.warning(
            "outbox row %s (%s) of %s is given up: %s",
            row.id,
            row.kind,
            row.line,
            error,
        )


async def _send(client: GuardedClient, row: Row[Any]) -> None:
    """Say one thing to Linear; raises `TryAgain` or `Rejected`."""
    async with database.statement() as db:
        credential = await linear_access.credential(db, row.org_id, row.project_id)
    if credential is None:
        raise Rejected("no Linear credential is configured for the organization")
    target = row.session_id and agent_session_of(row.session_id, row.provider_session_id)
    linear = Linear(client, settings.current().linear_api_url, credential)
    what = row.payload
    entity_id = what.get("id") or entity_id_of(row)  # what is kept here too brings its id along
    if row.kind == "comment":
        await linear.create_comment(entity_id, what["issueId"], what["body"])
    elif row.kind == "issue_update":
        await linear.update_issue(what["issueId"], what["input"])
    elif row.kind == "issue":
        await linear.create_issue(
            entity_id, what["besideIssueId"], what["title"], what["description"]
        )
    elif target is None:
        raise Rejected("the session is not bound to Linear")
    elif row.kind == "activity":
        await linear.create_activity(entity_id, target, what["content"])
    elif row.kind == "external_urls":
        await linear.set_external_urls(target, what["externalUrls"])
    else:
        raise Rejected(f"nobody knows how to send {row.kind!r}")


def entity_id_of(row: Any) -> str:
    """The id that what a row makes has in Linear, the same however often it is sent.

    Several deployments may write to one workspace, so the row's number alone is not enough.
    """
    mark = f"{row.org_id}\n{row.session_id}\n{row.id}\n{row.created_at.timestamp()}"
    return str(UUID(bytes=hashlib.sha256(mark.encode()).digest()[:16], version=4))
