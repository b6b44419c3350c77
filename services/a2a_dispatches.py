"""Tasks for peers: recorded here, sent by the job, shown as they stand."""

from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, Invalid
from domain.ids import new_id
from domain.principal import Principal
from domain.times import iso, iso_or_none
from persistence import a2a_dispatches, audit

EXPLICIT: Final = "explicit"
TRANSPARENT: Final = "transparent"
OPEN: Final = frozenset({"pending", "running"})
MOST_LISTED_CHARACTERS: Final = 2000


async def record(
    db: AsyncConnection,
    agent: Any,
    kind: str,
    text: str,
    *,
    actor: Principal | None,
    data: Any = None,
    skill_id: str | None = None,
    work_type: str | None = None,
    session_id: str | None = None,
) -> Any:
    """Write down a task for an agent; the job sends it. Raises `Invalid` for a skill it lacks."""
    card = orjson.loads(agent.card)
    if skill_id is not None and skill_id not in {each["id"] for each in card.get("skills", [])}:
        raise Invalid(f"body.skillId: the agent's card has no skill {skill_id}")
    made = await a2a_dispatches.create(
        db,
        {
            "id": new_id("dsp"),
            "org_id": agent.org_id,
            "agent_id": agent.id,
            "agent_name": card["name"],
            "kind": kind,
            "work_type": work_type,
            "skill_id": skill_id,
            "session_id": session_id,
            "input_text": text,
            "input_data": data,
            "message_id": str(uuid4()),
            "context_id": str(uuid4()),
        },
    )
    await audit.append(
        db,
        agent.org_id,
        actor,
        "a2a.dispatched",
        ("a2a_dispatch", made.id),
        {"agentId": agent.id, "kind": kind, "skillId": skill_id, "sessionId": session_id},
    )
    return made


async def cancel(
    db: AsyncConnection, org_id: str, dispatch_id: str, actor: Principal | None
) -> Any:
    """Ask for the end of a dispatch; at once when its peer has not been asked yet.

    Asking twice changes nothing; raises `Conflict` for one that has ended otherwise.
    """
    row = await a2a_dispatches.get(db, org_id, dispatch_id, hold=True)
    if row.status == "canceled" or (row.cancel_requested and row.status in OPEN):
        return row
    if row.status not in OPEN:
        raise Conflict(f"The dispatch has {row.status} and cannot be cancelled")
    untouched = row.taken == 0
    end = a2a_dispatches.end_unsent if untouched else a2a_dispatches.ask_to_cancel
    changed = await end(db, row)
    await audit.append(
        db, org_id, actor, "a2a.dispatch_cancelled", ("a2a_dispatch", dispatch_id), {}
    )
    return changed


def shown(row: Any, *, whole: bool = True) -> dict[str, Any]:
    """The contract's A2ADispatch of a stored row; its texts cut short in a list."""

    def text(stored: str) -> str:
        return stored if whole else stored[:MOST_LISTED_CHARACTERS]

    output = None
    if row.output_text is not None or row.artifacts:
        output = {"text": text(row.output_text or "")}
        if whole:
            output["artifacts"] = orjson.loads(row.artifacts or "[]")
    given = {"text": text(row.input_text)}
    if whole and row.input_data is not None:
        given["data"] = row.input_data
    return {
        "dispatchId": row.id,
        "agentId": row.agent_id,
        "agentName": row.agent_name,
        "taskId": row.task_id,
        "status": row.status,
        "remoteState": row.remote_state,
        "dispatchType": row.kind,
        "skillId": row.skill_id,
        "workType": row.work_type,
        "sessionId": row.session_id,
        "input": given,
        "output": output,
        "error": row.error,
        "cancelRequested": row.cancel_requested,
        "dispatchedAt": iso(row.created_at),
        "completedAt": iso_or_none(row.completed_at),
        "latencyMs": None
        if row.completed_at is None
        else (row.completed_at - row.created_at) // timedelta(milliseconds=1),
        "costTokens": row.cost_tokens,
    }
