"""Linear's agent sessions: created, spoken to, ended elsewhere."""

from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from domain import linear_events, tracker_events
from domain.ids import public_session_id
from domain.session_states import ENDED
from domain.work_types import for_agent_session
from jobs.processors.event import Event
from persistence import assignments, sessions
from services import issue_reports, steering, tracker
from services.dispatch import enqueue


async def created(db: AsyncConnection, event: Event) -> str:
    """Put the session an event asks for into the queue, once."""
    wanted = linear_events.created_session(dict(event.envelope.data))
    if agent_id := linear_events.agent_id(dict(event.envelope.data)):
        await assignments.know_agent(db, event.org_id, agent_id)
    issue = tracker_events.issue_of_session(event.envelope.data)
    work_type = wanted.work_type
    if issue is not None:
        known = await issue_reports.take(db, event.org_id, event.project_id, issue)
        if known.state:
            work_type = for_agent_session(known.state, known.description)
    await assignments.drop(db, event.org_id, event.project_id, wanted.issue_id)
    salt = keyring.current().master.derive("public session ids")
    became = await enqueue(
        db,
        {
            "org_id": event.org_id,
            "id": wanted.session_id,
            "project_id": event.project_id,
            "public_id": public_session_id(wanted.session_id, salt),
            "issue_id": wanted.issue_id,
            "issue_identifier": wanted.issue_identifier,
            "issue_title": wanted.issue_title,
            "project_name": wanted.project_name,
            "work_type": work_type,
            "priority": wanted.priority,
            "work": wanted.work,
            "correlation_id": event.envelope.correlation_id,
        },
        has_turn=issue is not None,
    )
    if became != "known":
        await tracker.acknowledge(db, event.org_id, wanted.session_id, became)
    return f"session {wanted.session_id} {'is known already' if became == 'known' else became}"


async def prompted(db: AsyncConnection, event: Event) -> str:
    """Pass on what somebody said to an agent, or stop it; an unknown session starts with it."""
    said = linear_events.prompted(dict(event.envelope.data))
    session = await sessions.lock_by_id(db, event.org_id, said.session_id)
    if session is None:
        return await created(db, event)
    if said.stop:
        if session.status in {"completed", "failed"}:
            return f"session {said.session_id} has ended already"
        await steering.stop(db, session, actor=None)
        return f"session {said.session_id} stopped"
    await steering.prompt(
        db, session, said.text, actor=None, author=said.author, idempotency_key=event.envelope.id
    )
    return f"session {said.session_id} prompted"


async def updated(db: AsyncConnection, event: Event) -> str:
    """Stop a session that has ended in the tracker."""
    session_id = linear_events.ended_elsewhere(dict(event.envelope.data))
    if session_id is None:
        return "nothing is to follow from this update"
    session = await sessions.lock_by_id(db, event.org_id, session_id)
    if session is None or session.status in ENDED:
        return f"session {session_id} is not at work"
    await steering.stop(db, session, actor=None)
    return f"session {session_id} stopped"
