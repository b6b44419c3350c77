"""Tasks that are sent to peers."""

from typing import Any

from domain.errors import NotFound
from domain.principal import Principal
from domain.times import parse
from handlers.replies import Reply
from persistence import a2a_agents, a2a_dispatches, database, sessions
from persistence.ephemeral import nudges
from services.a2a_dispatches import EXPLICIT, cancel, record, shown
from services.once import once


async def dispatch_a2a_task(
    id_: str, body: dict[str, Any], user: Principal, idempotency_key: str | None
) -> Reply:
    """Record a task for an agent, which is sent at once."""
    async with database.transaction() as db:
        answer, status = await once(
            db,
            user,
            "dispatchA2ATask",
            idempotency_key,
            [id_, body],
            lambda: _record(db, id_, body, user),
        )
    await nudges.try_nudge(nudges.DISPATCHES)
    return answer, status


async def _record(
    db: Any, agent_id: str, body: dict[str, Any], user: Principal
) -> tuple[dict[str, Any], int]:
    org_id = str(user.org_id)
    agent = await a2a_agents.get(db, org_id, agent_id)
    session_id = body.get("sessionId")
    if session_id is not None and not await sessions.lock_by_id(db, org_id, session_id):
        raise NotFound("Session not found")
    made = await record(
        db,
        agent,
        EXPLICIT,
        body["text"],
        actor=user,
        data=body.get("data"),
        skill_id=body.get("skillId"),
        work_type=body.get("workType"),
        session_id=session_id,
    )
    return {"dispatch": shown(made)}, 201


async def list_a2a_dispatches(
    user: Principal,
    agent_id: str | None,
    status: str | None,
    kind: str | None,
    from_: str | None,
    to: str | None,
    limit: int,
    cursor: str | None,
) -> Reply:
    """List the organization's dispatches, newest first."""
    async with database.statement() as db:
        page = await a2a_dispatches.list_page(
            db,
            str(user.org_id),
            {"agent_id": agent_id, "status": status, "kind": kind},
            parse(from_) if from_ else None,
            parse(to) if to else None,
            limit,
            cursor,
        )
    return {
        "dispatches": [shown(row, whole=False) for row in page.rows],
        "nextCursor": page.next_cursor,
    }, 200


async def get_a2a_dispatch(dispatch_id: str, user: Principal) -> Reply:
    """Read one dispatch, with all that its agent has made."""
    async with database.statement() as db:
        found = await a2a_dispatches.get(db, str(user.org_id), dispatch_id)
    return {"dispatch": shown(found)}, 200


async def cancel_a2a_dispatch(dispatch_id: str, user: Principal) -> Reply:
    """Ask for the end of a dispatch."""
    async with database.transaction() as db:
        row = await cancel(db, str(user.org_id), dispatch_id, user)
    await nudges.try_nudge(nudges.DISPATCHES)
    return {"dispatch": shown(row)}, 200
