"""Webhook events become work."""

import logging
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from auth.webhook_signatures import claimed_workspace
from domain import linear_events
from domain.errors import Unavailable
from domain.ids import public_session_id
from persistence import audit, database, sessions, webhook_events, workspaces

MOST_TRIES: Final = 8

_log = logging.getLogger(__name__)


async def deliver_events() -> int:
    """Work on every event that is due, one transaction each; returns how many."""
    count = 0
    while await _deliver_one():
        count += 1
    return count


async def _deliver_one() -> bool:
    """Work on the next event; what follows from it commits together with its end, or not at all."""
    event = None
    try:
        async with database.transaction() as db:
            event = await webhook_events.next_due(db)
            if event is None:
                return False
            await _work_on(db, event)
    except Unavailable:
        raise
    except Exception as error:
        if event is None:
            raise
        _log.exception("event %s failed; it is tried again", event.id)
        async with database.transaction() as db:
            await webhook_events.put_off(db, event.id, MOST_TRIES, f"{type(error).__name__}")
    return True


async def _work_on(db: AsyncConnection, event: Row[Any]) -> None:
    payload = orjson.loads(event.body)
    workspace_id = claimed_workspace(event.provider, event.body)
    mapping = None
    if workspace_id is not None:
        mapping = await workspaces.owner(db, event.provider, workspace_id, event.verified_by)
    if mapping is None:
        await webhook_events.settle(
            db, event.id, "parked", "its workspace is mapped to nobody", None
        )
        return
    if event.provider == "linear" and linear_events.kind(payload) == "AgentSessionEvent.created":
        try:
            wanted = linear_events.created_session(payload)
        except linear_events.Unreadable as error:
            await webhook_events.settle(db, event.id, "dead", str(error), mapping.org_id)
            return
        outcome = await _queue(db, event, mapping, wanted)
    else:
        outcome = "nothing is to follow from this kind of event"
    await webhook_events.settle(db, event.id, "done", outcome, mapping.org_id)


async def _queue(
    db: AsyncConnection, event: Row[Any], mapping: Row[Any], wanted: linear_events.NewSession
) -> str:
    """Put the session an event asks for into the queue, once; returns what came of it."""
    salt = keyring.current().master.derive("public session ids")
    queued = await sessions.queue(
        db,
        {
            "org_id": mapping.org_id,
            "id": wanted.session_id,
            "project_id": mapping.project_id,
            "public_id": public_session_id(wanted.session_id, salt),
            "issue_id": wanted.issue_id,
            "issue_identifier": wanted.issue_identifier,
            "issue_title": wanted.issue_title,
            "project_name": wanted.project_name,
            "work_type": wanted.work_type,
            "priority": wanted.priority,
            "work": wanted.work,
            "correlation_id": event.correlation_id,
        },
    )
    if not queued:
        return f"session {wanted.session_id} is known already"
    await audit.append(
        db,
        mapping.org_id,
        None,
        "session.queued",
        ("session", wanted.session_id),
        {"workType": wanted.work_type, "correlationId": event.correlation_id},
    )
    return f"session {wanted.session_id} queued"
