"""A session's status, read and reported by workers."""

from typing import Any

from domain.errors import NotFound
from domain.principal import Principal
from domain.session_states import ENDED, Step, pending_reason, step
from domain.times import epoch_ms, epoch_ms_or_none
from handlers.replies import Reply
from persistence import audit, database, leases, sessions
from persistence.ephemeral import nudges, session_news
from services import automation, tracker
from services.ownership import credential_ended, hold


async def get_session_status(id_: str, user: Principal) -> Reply:
    """Read a session's whole state; the worker that holds it keeps it by asking."""
    session = await sessions.read(user, id_)
    if not session.alive:
        raise credential_ended()
    if session.id is None:
        raise NotFound("Session not found")
    if session.lost_by_worker_id is not None and session.lost_by_worker_id == user.worker_id:
        await leases.take_back_one(session.org_id, session.lost_by_worker_id, id_)
        session = await sessions.read(user, id_)
    return session_state(session), 200


async def update_session_status(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Move a session along, once, however often the report is sent."""
    worker_id = body["workerId"]
    user.require_worker(worker_id)
    async with database.transaction() as db:
        moved = False
        session = await hold(db, user, id_, worker_id, body.get("leaseEpoch"))
        bound = session.provider_session_id
        what = step(session.status, body["status"])
        values = _reported(session, body)
        if what is Step.MOVE:
            values |= _moved(body)
        if what is Step.AFTER_STOP:
            values["slot_worker_id"] = None
        session = await sessions.change(db, session.org_id, id_, values)
        if what is Step.MOVE:
            await audit.append(
                db,
                session.org_id,
                user,
                f"session.{session.status}",
                ("session", id_),
                {"workerId": worker_id, "leaseEpoch": session.lease_epoch},
            )
        if what is Step.MOVE and session.status in ENDED:
            await tracker.close(db, session)
        if session.status == "running" and session.provider_session_id not in {bound, None, id_}:
            await automation.begun(db, session)
        if what is Step.MOVE and session.status == "completed":
            moved = await automation.concluded(db, session)
    if what is Step.MOVE:
        session_news.tell_surely(session.org_id, id_)
    if what is Step.MOVE and session.status in ENDED:
        await nudges.try_nudge(nudges.PARKED)
        await nudges.try_nudge(nudges.OUTBOX)
    if moved:
        await nudges.try_nudge(nudges.work(session.org_id, session.project_id))
    return {"updated": True, "session": session_state(session)}, 200


def _moved(body: dict[str, Any]) -> dict[str, Any]:
    """The columns that a new status sets by itself."""
    values: dict[str, Any] = {"status": body["status"]}
    if body["status"] in ENDED:
        values |= {"slot_worker_id": None, "finished_at": database.NOW, "holds_issue": False}
        values |= {"recovery_packet_id": None}
    if body["status"] == "failed":
        message = body.get("error", {}).get("message") or body.get("reason")
        values["failure_reason"] = message or "the worker gave no reason"
    return values


def _reported(session: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The columns that came with a report.

    A late `running` that carries the session's own id as its provider's never overwrites the real
    one (decision 15): one client sends both, unordered.
    """
    values: dict[str, Any] = {}
    provider_session_id = body.get("providerSessionId")
    if provider_session_id and not (
        provider_session_id == session.id and session.provider_session_id
    ):
        values["provider_session_id"] = provider_session_id
    if body.get("worktreePath"):
        values["worktree_path"] = body["worktreePath"]
    if body["status"] in ENDED | {"finalizing"}:
        for member, column in (
            ("totalCostUsd", "total_cost_usd"),
            ("inputTokens", "input_tokens"),
            ("outputTokens", "output_tokens"),
        ):
            if member in body:
                values[column] = body[member]
    return values


def session_state(session: Any) -> dict[str, Any]:
    """The contract's SessionState of a session's row."""
    optional = {
        "issueIdentifier": session.issue_identifier,
        "promptContext": session.work.get("promptContext"),
        "projectName": session.project_name,
        "provider": session.provider,
        "totalCostUsd": session.total_cost_usd,
        "inputTokens": session.input_tokens,
        "outputTokens": session.output_tokens,
        "failureReason": session.failure_reason,
        "pendingReason": pending_reason(session.status, session.waits_for),
        "lastToolName": session.last_tool_name,
        "lastToolCalledAt": epoch_ms_or_none(session.last_tool_called_at),
        "toolCallCount": session.tool_call_count or None,
    }
    return {
        "linearSessionId": session.id,
        "trackerSessionId": session.id,
        "issueId": session.issue_id,
        "providerSessionId": session.provider_session_id,
        "worktreePath": session.worktree_path or "",
        "status": session.status,
        "createdAt": epoch_ms(session.created_at),
        "updatedAt": epoch_ms(session.updated_at),
        "workerId": session.worker_id,
        "queuedAt": epoch_ms_or_none(session.queued_at),
        "claimedAt": epoch_ms_or_none(session.claimed_at),
        "priority": session.priority,
        "organizationId": session.org_id,
        "workType": session.work_type,
        "leaseEpoch": session.lease_epoch,
        **{name: value for name, value in optional.items() if value is not None},
    }
