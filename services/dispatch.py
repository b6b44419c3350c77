"""How work enters the queue: the session of an issue that nobody works on, or parked behind it."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.principal import Principal
from persistence import audit, database, issues, sessions

FOLLOW_UP_PRIORITY = 2


async def enqueue(
    db: AsyncConnection,
    values: dict[str, Any],
    actor: Principal | None = None,
    *,
    has_turn: bool = False,
) -> str:
    """Store a new session and queue it, or park it; returns `queued`, `parked` or `known`.

    One entry per work type is parked for an issue: a later one replaces it. `has_turn` says that
    the transaction has waited for the issue's turn already.
    """
    org_id, session_id, issue_id = values["org_id"], values["id"], values["issue_id"]
    # Two requests for an issue at once would not see what the other one parks.
    if issue_id and not has_turn:
        await issues.take_turn(db, org_id, issue_id)
    became = await sessions.add(db, values)
    if became is None:
        return "known"
    if became == "parked":
        place, work_type = (org_id, values["project_id"], issue_id), values["work_type"]
        for older in await issues.parked(db, *place, work_type, session_id):
            await sessions.steer(
                db,
                org_id,
                older.id,
                {
                    "status": "stopped",
                    "waits_for": None,
                    "finished_at": database.NOW,
                    "failure_reason": "replaced by a newer request for the issue",
                },
            )
            await audit.append(
                db, org_id, actor, "session.stopped", ("session", older.id), {"by": session_id}
            )
    await audit.append(
        db,
        org_id,
        actor,
        f"session.{became}",
        ("session", session_id),
        {"workType": values["work_type"], "correlationId": values.get("correlation_id")},
    )
    return became


async def release(db: AsyncConnection, org_id: str, session_id: str, issue_id: str) -> str:
    """Queue a pending session if its issue is free, else leave it parked."""
    if not await issues.take(db, org_id, issue_id, session_id):
        return "parked"
    await sessions.steer(db, org_id, session_id, {"waits_for": None})
    return "queued"
