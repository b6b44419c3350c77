"""Clients of our own tasks are told how those stand, where they asked for it."""

import asyncio
import logging
from typing import Any, Final

import orjson
from a2a.types import a2a_pb2 as pb

import settings
from domain.a2a_cards import OLD
from domain.a2a_tasks import ENDED
from domain.errors import Unavailable
from jobs.lanes import total
from outbound.guarded_client import TRANSIENT, Failed, GuardedClient, Refused
from persistence import a2a_push, a2a_tasks, database
from persistence.a2a_dispatches import later
from services import a2a_tasks as tasks
from services import a2a_wire
from services.a2a_push import secret_of

MOST_TRIES: Final = 8
FIRST_WAIT_SECONDS: Final = 2.0
GROWTH: Final = 3  # eight tries span at least 36 minutes
AT_ONCE: Final = 4
TAKEN_SECONDS: Final = 40.0
"""How long a client is its teller's, who is given less."""
PATIENCE_SECONDS: Final = 25.0
MOST_HISTORY: Final = 10

_log = logging.getLogger(__name__)


async def tell_clients() -> int:
    """Post every task whose state its client does not know; returns how many were tried.

    What is to be told is compared with what was, so nothing is lost in a crash and the state that a
    client hears last is the last one; states that passed meanwhile are left out.
    """
    first = await _take()
    if first is None:
        return 0
    async with GuardedClient(settings.current().allowed_private_hosts, most_redirects=0) as client:
        lanes = [_lane(client, first), *(_lane(client, None) for _ in range(AT_ONCE - 1))]
        return await total(lanes)


async def _lane(client: GuardedClient, row: Any) -> int:
    count = 0
    while row := row or await _take():
        await _work_on(client, row)
        count, row = count + 1, None
    return count


async def _take() -> Any:
    async with database.transaction() as db:
        return await a2a_push.next_due(db, TAKEN_SECONDS)


async def _work_on(client: GuardedClient, row: Any) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            state = await _tell(client, row)
        values = {"told_state": state, "is_done": state in ENDED, "attempts": 0, "last_error": None}
        values |= {"next_try_at": database.NOW}
    except Refused as refusal:
        values = {"is_done": True, "last_error": str(refusal)[:500]}
    except (Failed, TimeoutError) as failure:
        values = _put_off(row, str(failure) or "no answer in time")
    except Unavailable:
        raise
    except Exception as unforeseen:
        _log.exception("a client of task %s was not told; it is tried again", row.session_id)
        values = _put_off(row, type(unforeseen).__name__)
    async with database.transaction() as db:
        await a2a_push.settle(db, row, values)


async def _tell(client: GuardedClient, row: Any) -> str:
    """Post the task as it is now; returns the state that it told."""
    async with database.statement() as db:
        found = await a2a_tasks.find(db, row.org_id, frozenset({row.project_id}), row.session_id)
        if found is None:
            raise Refused("the task is gone")
        task = await tasks.task(db, found, history=MOST_HISTORY)
    said = task if row.generation == OLD else pb.StreamResponse(task=task)
    headers = {"Content-Type": "application/json"}
    secret = secret_of(row)
    if secret.get("token"):
        headers["X-A2A-Notification-Token"] = secret["token"]
    if secret.get("scheme") and secret.get("credentials"):
        headers["Authorization"] = f"{secret['scheme']} {secret['credentials']}"
    answer = await client.request(
        "POST",
        row.url,
        headers=headers,
        content=orjson.dumps(a2a_wire.result(row.generation, said)),
    )
    if answer.status >= 300:
        kind = Failed if answer.status in TRANSIENT else Refused
        raise kind(f"the client answered {answer.status}")
    return a2a_wire.state_name(task.status.state)


def _put_off(row: Any, error: str) -> dict[str, Any]:
    """Try again later, or give it up."""
    return {
        "is_done": row.attempts >= MOST_TRIES,
        "last_error": error[:500],
        "next_try_at": later(FIRST_WAIT_SECONDS * GROWTH ** (row.attempts - 1)),
    }
