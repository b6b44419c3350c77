"""A session changes hands: claimed by name, given back, adopted under a new worker id."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from auth.session_tokens import SessionAgent
from domain.errors import Forbidden, Invalid, NotFound
from domain.principal import Principal
from domain.session_states import HELD
from handlers.polling import queued_work
from handlers.replies import Reply
from handlers.session_lifecycle import session_state
from persistence import audit, database, handover, recovery, sessions, workers
from persistence.ephemeral import nudges, session_news
from services.agent_access import agent_access
from services.ownership import OWNED_BY_ANOTHER, credential_ended, no_such_worker
from services.repositories import repository_of


async def claim_session(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Claim one session by its id, if it waits and the worker has room."""
    worker_id = body["workerId"]
    user.require_worker(worker_id)
    async with database.transaction() as db:
        found = await handover.lock_worker(
            db, str(user.org_id), worker_id, str(user.registration_id)
        )
        if found is None:
            raise await no_such_worker(user, worker_id)
        worker, room = found
        session = await sessions.lock(db, user, id_, worker_id)
        if session is None or session.project_id != worker.project_id:
            raise NotFound("Session not found")
        if session.status == "claimed" and session.worker_id == worker_id:
            return await _claimed(session, await recovery.riding(db, session)), 200
        reason = await _why_not(db, session, worker, room)
        if reason:
            return {"claimed": False, "reason": reason}, 200
        session = await sessions.change(
            db,
            session.org_id,
            id_,
            {
                "status": "claimed",
                "worker_id": worker_id,
                "slot_worker_id": worker_id,
                "claimed_at": database.NOW,
                "offered_at": database.NOW,
                "lease_epoch": session.lease_epoch + 1,
                "lost_by_worker_id": None,
                "lost_status": None,
                "lost_at": None,
            },
        )
        await audit.append(
            db,
            session.org_id,
            user,
            "session.claimed",
            ("session", id_),
            {"leaseEpoch": session.lease_epoch, "projectId": session.project_id},
        )
        packet = await recovery.riding(db, session)
    session_news.tell_surely(session.org_id, id_)
    return await _claimed(session, packet), 200


async def nack_session(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Put a session that the worker cannot take back in the queue, in its old place."""
    worker_id = body["workerId"]
    user.require_worker(worker_id)
    if body["work"]["sessionId"] != id_:
        raise Invalid("body.work.sessionId: is not the session of the path")
    async with database.transaction() as db:
        session = await sessions.lock(db, user, id_, worker_id)
        if session is None:
            raise NotFound("Session not found")
        if not session.may_act:
            await _refuse_to_act(user, worker_id)
        if session.worker_id != worker_id:
            if await handover.was_nacked_lately(db, session.org_id, id_, worker_id):
                return _nacked(id_, requeued=False, reason="given back already"), 200
            raise Forbidden(OWNED_BY_ANOTHER)
        if session.status != "claimed":
            return _nacked(id_, requeued=False, reason=f"Session is {session.status}"), 200
        nacks = session.nacks + 1
        await sessions.steer(
            db,
            session.org_id,
            id_,
            {
                "status": "pending",
                "worker_id": None,
                "slot_worker_id": None,
                "claimed_at": None,
                "nacks": nacks,
                "waits_for": "person" if nacks >= handover.MOST_NACKS else None,
            },
        )
        await handover.note_nack(db, session.org_id, id_, worker_id)
        await audit.append(
            db,
            session.org_id,
            user,
            "session.nacked",
            ("session", id_),
            {"workerId": worker_id, "reason": body.get("reason", ""), "nacks": nacks},
        )
    session_news.tell_surely(session.org_id, id_)
    await nudges.try_nudge(nudges.work(session.org_id, session.project_id))
    return _nacked(id_, requeued=True), 200


async def transfer_ownership(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Give a session from a worker's old id to its new one, both of one registration and host."""
    new_id, old_id = body["newWorkerId"], body["oldWorkerId"]
    user.require_worker(new_id)
    org_id, registration_id = str(user.org_id), str(user.registration_id)
    async with database.transaction() as db:
        new = await workers.find(db, org_id, new_id, registration_id)
        if new is None or new.revoked_at is not None:
            await _refuse_to_act(user, new_id, unknown_is_fine=True)
            return _kept("newWorkerId is no worker of this registration"), 200
        session = await sessions.lock(db, user, id_, new_id)
        if session is None:
            return _kept("there is no such session"), 200
        owner = session.worker_id or session.lost_by_worker_id
        if session.status not in HELD and session.status != "pending":
            return _kept(f"Session is {session.status}"), 200
        if session.worker_id == new_id:
            return {"transferred": True, "session": session_state(session)}, 200
        if owner != old_id:
            return _kept(f"owner is {owner}" if owner else "nobody owns the session"), 200
        old = await workers.find(db, org_id, old_id, registration_id)
        if old is None or old.hostname != new.hostname or old.project_id != new.project_id:
            return _kept("the workers are not of one registration and host"), 200
        was_lost = session.worker_id is None
        session = await sessions.change(
            db,
            org_id,
            id_,
            {
                "status": session.lost_status if was_lost else session.status,
                "lease_epoch": session.lease_epoch + was_lost,
                "worker_id": new_id,
                "slot_worker_id": new_id,
                "lost_by_worker_id": None,
                "lost_status": None,
                "lost_at": None,
            },
        )
        await audit.append(
            db,
            org_id,
            user,
            "session.transferred",
            ("session", id_),
            {"from": old_id, "to": new_id, "leaseEpoch": session.lease_epoch},
        )
    return {"transferred": True, "session": session_state(session)}, 200


async def _why_not(db: AsyncConnection, session: Any, worker: Any, room: int) -> str | None:
    """Why a worker cannot claim a session now; the conditions a poll has too."""
    if session.status != "pending":
        return "not available or already claimed"
    if session.waits_for is not None:
        return (
            f"the session waits for {'its issue' if session.waits_for == 'issue' else 'a person'}"
        )
    if worker.projects and session.project_name not in worker.projects:
        return "the worker does not serve the session's project"
    if worker.status == "draining" or worker.retired_at is not None:
        return "the worker takes no new work"
    if room < 1:
        return "the worker has no room"
    if session.lost_by_worker_id == worker.id:
        return "the worker lost this session; any report about it takes it back"
    if await handover.was_nacked_lately(db, session.org_id, session.id, worker.id):
        return "the worker gave this session back within the last minute"
    return None


async def _refuse_to_act(user: Principal, worker_id: str, *, unknown_is_fine: bool = False) -> None:
    """Raise for a revoked registration; and for an unknown worker unless the caller answers it."""
    standing = await workers.standing(str(user.org_id), worker_id, str(user.registration_id))
    if standing == "revoked":
        raise credential_ended()
    if not unknown_is_fine:
        raise Forbidden(OWNED_BY_ANOTHER)


async def _claimed(session: Any, packet: Any) -> dict[str, Any]:
    agent = SessionAgent(session.org_id, session.project_id, session.id, session.worker_id)
    return {
        "claimed": True,
        "session": session_state(session),
        "work": queued_work(session, session.org_id, packet)
        | await agent_access(agent, session.claimed_at)
        | await repository_of(session.org_id, session.project_id, session.work),
    }


def _nacked(session_id: str, *, requeued: bool, reason: str | None = None) -> dict[str, Any]:
    answer = {"nacked": requeued, "sessionId": session_id, "requeued": requeued}
    return {**answer, "reason": reason} if reason else answer


def _kept(reason: str) -> dict[str, Any]:
    return {"transferred": False, "reason": reason}
