"""What workers report about a session beside its status."""

import hashlib
from typing import Any

import orjson

from domain.principal import Principal
from handlers.replies import Reply
from persistence import activities, audit, completions, database
from services.ownership import hold

NOT_SENT = "sending to the tracker is not configured"


async def post_session_activity(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store one step of the agent, in one round trip for the worker that holds the session."""
    user.require_worker(body["workerId"])
    if not await _store(id_, body, user):
        # Either a lost session comes back to its last owner with this call, or this refuses.
        async with database.transaction() as db:
            await hold(db, user, id_, body["workerId"], body.get("leaseEpoch"))
        await _store(id_, body, user)
    return {"forwarded": False, "linearSessionId": id_, "reason": NOT_SENT}, 200


async def post_session_completion(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store the text that concludes a session, once per attempt."""
    worker_id = body.get("workerId")
    if worker_id:
        user.require_worker(worker_id)
    async with database.transaction() as db:
        session = await hold(db, user, id_, worker_id, body.get("leaseEpoch"))
        stored = await completions.store(
            db,
            session.org_id,
            id_,
            session.lease_epoch,
            _digest(body),
            body["summary"],
            body.get("planItems"),
        )
        if stored:
            await audit.append(
                db, session.org_id, user, "session.completion_posted", ("session", id_)
            )
    return {"posted": 0, "errors": [], "reason": NOT_SENT}, 200


async def _store(session_id: str, body: dict[str, Any], user: Principal) -> bool:
    activity = body["activity"]
    repeatable = "timestamp" in activity or "toolUseId" in activity
    return await activities.store(
        str(user.org_id),
        session_id,
        body["workerId"],
        str(user.registration_id),
        body.get("leaseEpoch"),
        activity,
        _digest(body) if repeatable else None,
    )


def _digest(body: dict[str, Any]) -> bytes:
    """Equal for equal bodies, whatever the order of their members."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
