"""Peers are sent what was dispatched to them, and asked how it goes until it has ended."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import orjson

import settings
from domain.errors import Unavailable
from jobs.lanes import total
from outbound.a2a_peer import (
    ENDED,
    Outcome,
    Peer,
    Rejected,
    Said,
    TryAgain,
    Unknown,
    http_for_peers,
)
from outbound.guarded_client import HttpClient
from persistence import a2a_dispatches, audit, database
from services.a2a_secrets import token_context, unseal

MOST_TRIES: Final = 8
FIRST_WAIT_SECONDS: Final = 2.0
GROWTH: Final = 3  # eight tries span at least 36 minutes
FIRST_LOOK_SECONDS: Final = 1.0
LOOK_GROWTH: Final = 1.5
MOST_LOOK_SECONDS: Final = 30.0
AT_ONCE: Final = 8
AT_ONCE_OF_ONE: Final = 3
"""So that an agent that does not answer leaves the others room."""

TAKEN_SECONDS: Final = 90.0
"""How long a dispatch is its sender's. A step takes three calls at the most, and is given less."""
PATIENCE_SECONDS: Final = 75.0
LONGEST: Final = timedelta(days=1)

MOST_ERROR_CHARACTERS: Final = 500

_log = logging.getLogger(__name__)


async def send_dispatches() -> int:
    """Take every due dispatch one step further, some at a time; returns how many steps there were.

    A dispatch is taken in one transaction, its peer asked in none, and the answer written in
    another. After a crash between them it is taken again; a peer that may have the message already
    is first asked for the task of the dispatch's own context, and the message has the id it had.
    """
    first = await _take(())
    if first is None:
        return 0
    async with http_for_peers(settings.current().allowed_private_hosts) as http:
        busy = Counter[str]()
        lanes = [_lane(http, busy, first), *(_lane(http, busy, None) for _ in range(AT_ONCE - 1))]
        return await total(lanes)


async def _lane(http: HttpClient, busy: Counter[str], row: Any) -> int:
    count = 0
    while row := row or await _take([a for a, number in busy.items() if number >= AT_ONCE_OF_ONE]):
        busy[row.agent_id] += 1
        try:
            await _work_on(http, row)
        finally:
            busy[row.agent_id] -= 1
        count, row = count + 1, None
    return count


async def _take(busy: Sequence[str]) -> Any:
    async with database.transaction() as db:
        return await a2a_dispatches.next_due(db, TAKEN_SECONDS, busy)


async def _work_on(http: HttpClient, row: Any) -> None:
    """Take one step, and write down what came of it."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            values = _as_it_stands(row, await _step(http, row))
    except Rejected as rejected:
        values = _ended("failed", str(rejected))
    except Unknown:
        values = _ended("failed", "the agent does not know the task any more")
    except TryAgain as again:
        values = _put_off(row, str(again))
    except Unavailable:
        raise
    except Exception as unforeseen:
        _log.exception("dispatch %s failed; it is tried again", row.id)
        values = _put_off(row, type(unforeseen).__name__)
    async with database.transaction() as db:
        now = await a2a_dispatches.settle(db, row, values)
        if now is not None and now.completed_at is not None:
            await audit.append(
                db,
                row.org_id,
                None,
                "a2a.dispatch_ended",
                ("a2a_dispatch", row.id),
                {"agentId": row.agent_id, "status": now.status, "taskId": now.task_id},
            )


async def _step(http: HttpClient, row: Any) -> Outcome:
    if row.card is None:
        raise Rejected("the agent was deleted")
    if row.age > LONGEST:
        raise Rejected("the agent has not ended the task within a day")
    token = None
    if row.token is not None:
        token = unseal(bytes(row.token), token_context(row.org_id, row.agent_id))
    peer = Peer(http, row.card, token)
    if row.task_id is not None:
        return await (peer.cancel if row.cancel_requested else peer.get)(row.task_id)
    # An earlier try may have arrived though nobody lived to write that down.
    known = await peer.find(row.context_id) if row.taken > 1 else None
    if row.cancel_requested:
        if known is None or known.task_id is None:
            return Outcome(None, "canceled", None, [])
        return await peer.cancel(known.task_id)
    if known is not None:
        return known
    about = {"skillId": row.skill_id, "workType": row.work_type}
    return await peer.send(
        Said(
            row.message_id,
            row.context_id,
            row.input_text,
            row.input_data,
            {name: value for name, value in about.items() if value is not None},
        )
    )


def _as_it_stands(row: Any, outcome: Outcome) -> dict[str, Any]:
    values: dict[str, Any] = {
        "task_id": outcome.task_id or row.task_id,
        "remote_state": outcome.state,
        "output_text": outcome.text,
        "artifacts": orjson.dumps(outcome.artifacts).decode() if outcome.artifacts else None,
        "cost_tokens": outcome.cost_tokens,
        "attempts": 0,
        "error": None,
    }
    if outcome.state in ENDED:
        status = "failed" if outcome.state == "rejected" else outcome.state
        error = (outcome.text or f"the agent {outcome.state} it") if status == "failed" else None
        return values | _ended(status, error)
    pause = FIRST_LOOK_SECONDS * LOOK_GROWTH ** min(row.looks, 20)
    return values | {
        "status": "running",
        "looks": row.looks + 1,
        "next_try_at": a2a_dispatches.later(min(pause, MOST_LOOK_SECONDS)),
    }


def _ended(status: str, error: str | None) -> dict[str, Any]:
    return {
        "status": status,
        "error": None if error is None else error[:MOST_ERROR_CHARACTERS],
        "completed_at": database.NOW,
    }


def _put_off(row: Any, error: str) -> dict[str, Any]:
    """Try again later, or give it up."""
    tries = row.attempts + 1
    if tries >= MOST_TRIES:
        return _ended("failed", f"given up after {tries} tries: {error}")
    return {
        "attempts": tries,
        "error": error[:MOST_ERROR_CHARACTERS],
        "next_try_at": a2a_dispatches.later(FIRST_WAIT_SECONDS * GROWTH**row.attempts),
    }
