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
from domain.session_states import ENDED
from persistence import database, sessions, webhook_events, workspaces
from persistence.ephemeral import nudges
from services import steering, tracker
from services.dispatch import enqueue

MOST_TRIES: Final = 8

_log = logging.getLogger(__name__)


async def deliver_events() -> int:
    """Work on every event that is due, one transaction each; returns how many."""
    count = 0
    while await _deliver_one():
        count += 1
    if count:
        await nudges.try_nudge(nudges.OUTBOX)
    return count


async def _deliver_one() -> bool:
    """Work on the next event; what follows from it commits together with its end, or not at all."""
    event = None
    try:
        async with database.transaction() as db:
            event = await webhook_events.next_due(db)
            if event is None:
                return False
            mapping = await _work_on(db, event)
        if mapping is not None:
            await nudges.try_nudge(nudges.work(mapping.org_id, mapping.project_id))
            await nudges.try_nudge(nudges.PARKED)
    except Unavailable:
        raise
    except Exception as error:
        if event is None:
            raise
        _log.exception("event %s failed; it is tried again", event.id)
        async with database.transaction() as db:
            await webhook_events.put_off(db, event.id, MOST_TRIES, f"{type(error).__name__}")
    return True


async def _work_on(db: AsyncConnection, event: Row[Any]) -> Row[Any] | None:
    """Do what follows from an event and close it; returns whose it was, if anybody's."""
    payload = orjson.loads(event.body)
    workspace_id = claimed_workspace(event.provider, event.body)
    mapping = None
    if workspace_id is not None:
        mapping = await workspaces.owner(db, event.provider, workspace_id, event.verified_by)
    if mapping is None:
        await webhook_events.settle(
            db, event.id, "parked", "its workspace is mapped to nobody", None
        )
        return None
    follow = FOLLOWS.get((event.provider, linear_events.kind(payload)))
    if follow is None:
        outcome = "nothing is to follow from this kind of event"
    else:
        try:
            outcome = await follow(db, event, mapping, payload)
        except linear_events.Unreadable as error:
            await webhook_events.settle(db, event.id, "dead", str(error), mapping.org_id)
            return mapping
    await webhook_events.settle(db, event.id, "done", outcome, mapping.org_id)
    return mapping


async def _created(
    db: AsyncConnection, event: Row[Any], mapping: Row[Any], payload: dict[str, Any]
) -> str:
    """Put the session an event asks for into the queue, once; returns what came of it."""
    wanted = linear_events.created_session(payload)
    salt = keyring.current().master.derive("public session ids")
    became = await enqueue(
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
    if became != "known":
        await tracker.acknowledge(db, mapping.org_id, wanted.session_id, became)
    return f"session {wanted.session_id} {'is known already' if became == 'known' else became}"


async def _prompted(
    db: AsyncConnection, event: Row[Any], mapping: Row[Any], payload: dict[str, Any]
) -> str:
    """Pass on what somebody said to an agent, or stop it; an unknown session starts with it."""
    said = linear_events.prompted(payload)
    session = await sessions.lock_by_id(db, mapping.org_id, said.session_id)
    if session is None:
        return await _created(db, event, mapping, payload)
    if said.stop:
        if session.status in {"completed", "failed"}:
            return f"session {said.session_id} has ended already"
        await steering.stop(db, session, actor=None)
        return f"session {said.session_id} stopped"
    await steering.prompt(
        db, session, said.text, actor=None, author=said.author, idempotency_key=event.id
    )
    return f"session {said.session_id} prompted"


async def _updated(
    db: AsyncConnection, event: Row[Any], mapping: Row[Any], payload: dict[str, Any]
) -> str:
    """Stop a session that has ended in the tracker."""
    session_id = linear_events.ended_elsewhere(payload)
    if session_id is None:
        return "nothing is to follow from this update"
    session = await sessions.lock_by_id(db, mapping.org_id, session_id)
    if session is None or session.status in ENDED:
        return f"session {session_id} is not at work"
    await steering.stop(db, session, actor=None)
    return f"session {session_id} stopped"


FOLLOWS: Final = {
    ("linear", "AgentSessionEvent.created"): _created,
    ("linear", "AgentSessionEvent.prompted"): _prompted,
    ("linear", "AgentSessionEvent.updated"): _updated,
}
"""What follows from which event of which provider."""
