"""Prompting and stopping a session: what the public API and the tracker's events do alike."""

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict
from domain.ids import new_id
from domain.interviews import SESSION
from domain.principal import Principal
from domain.session_states import ENDED, HELD
from persistence import audit, database, inbox, interviews, prompts, sessions
from services import tracker
from services.dispatch import FOLLOW_UP_PRIORITY, release


class InboxFull(Conflict):
    """The session's agent has not taken what was sent to it before."""

    default = (
        f"{inbox.MOST_WAITING} messages wait for the session's agent; send more when it has taken "
        "some"
    )


@dataclass(frozen=True, slots=True)
class Prompted:
    """What a prompt did: its id, the session as it is now, and the turn of an interview that is to
    answer it."""

    prompt_id: str
    session: Any
    turn_id: str | None = None


async def prompt(
    db: AsyncConnection,
    session: Any,
    text: str,
    *,
    actor: Principal | None,
    author: tuple[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Prompted:
    """Deliver a text to a session whose row is held, once per idempotency key.

    A session at work or in the queue gets a message. One that has ended goes back to the queue with
    the text, its provider's session and a fresh count of attempts; parked when another session of
    its issue is at work. Raises `Conflict` for another text under a known key, and `InboxFull`.
    """
    digest = hashlib.sha256(text.encode()).digest()
    if idempotency_key:
        known = await prompts.find(db, session.org_id, session.id, idempotency_key)
        if known is not None:
            if known.prompt_hash != digest:
                raise Conflict("The idempotencyKey was used for another prompt")
            return Prompted(known.id, session, known.turn_id)
    if session.status not in ENDED and await inbox.is_full(db, session.org_id, session.id):
        raise InboxFull
    prompt_id = new_id("prm")
    turn_id = None
    if session.status not in ENDED and session.id.startswith(SESSION):
        turn_id = await interviews.send_turn(db, session.org_id, session.id)
    await prompts.add(db, session.org_id, session.id, prompt_id, idempotency_key, digest, turn_id)
    await audit.append(
        db, session.org_id, actor, "session.prompted", ("session", session.id), {"id": prompt_id}
    )
    if session.status in ENDED:
        return Prompted(prompt_id, await _queue_again(db, session, text, actor))
    await inbox.put(db, session.org_id, session.id, "directive", text, author, turn_id)
    if session.waits_for == "person":  # who asks has seen why it waits
        session = await sessions.steer(
            db, session.org_id, session.id, {"waits_for": None, "nacks": 0}
        )
    return Prompted(prompt_id, session, turn_id)


async def _queue_again(
    db: AsyncConnection, session: Any, text: str, actor: Principal | None
) -> Any:
    work = {**session.work, "prompt": text}
    await inbox.withdraw_stops(db, session.org_id, session.id)
    await sessions.steer(
        db,
        session.org_id,
        session.id,
        {
            "status": "pending",
            "waits_for": "issue",
            "work": work,
            "priority": FOLLOW_UP_PRIORITY,
            "queued_at": database.NOW,
            "attempts": 0,
            "nacks": 0,
            "worker_id": None,
            "slot_worker_id": None,
            "claimed_at": None,
            "finished_at": None,
            "failure_reason": None,
            "lost_by_worker_id": None,
            "lost_status": None,
            "lost_at": None,
        },
    )
    became = await release(db, session.org_id, session.id, session.issue_id)
    await audit.append(db, session.org_id, actor, f"session.{became}", ("session", session.id))
    return await sessions.lock_by_id(db, session.org_id, session.id)


async def stop(db: AsyncConnection, session: Any, *, actor: Principal | None) -> Any:
    """Stop a session whose row is held; its queue entry and its issue are free at once.

    The worker that runs it keeps the slot taken until it says that the agent has ended, and is told
    by message. Stopping a stopped session changes nothing; raises `Conflict` for one that completed
    or failed.
    """
    if session.status == "stopped":
        return session
    if session.status not in HELD and session.status != "pending":
        raise Conflict(f"Session is {session.status} and cannot be stopped")
    if session.status in HELD:
        await inbox.put(db, session.org_id, session.id, "stop", "Stop signal received")
    stopped = await sessions.steer(
        db,
        session.org_id,
        session.id,
        {
            "status": "stopped",
            "finished_at": database.NOW,
            "holds_issue": False,
            "waits_for": None,
            "lost_by_worker_id": None,
            "lost_status": None,
            "lost_at": None,
            "recovery_packet_id": None,
        },
    )
    await audit.append(
        db,
        session.org_id,
        actor,
        "session.stopped",
        ("session", session.id),
        {"previousStatus": session.status},
    )
    await tracker.close(db, stopped)
    return stopped
