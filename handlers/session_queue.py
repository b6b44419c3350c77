"""People and programs put sessions into the queue."""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from domain.errors import Conflict
from domain.ids import new_id, public_session_id
from domain.principal import Principal
from domain.session_states import public_status
from domain.times import epoch_ms
from handlers.replies import Reply
from persistence import sessions
from services.dispatch import enqueue
from services.queueing import put_once

DEFAULT_PRIORITY: Final = 3
DEFAULT_WORK_TYPE: Final = "development"

STORED_APART: Final = frozenset(
    {"sessionId", "issueId", "issueIdentifier", "priority", "workType", "projectName", "projectId"}
)
"""Members of the request that are columns of the session."""

MADE_HERE: Final = frozenset(
    {"organizationId", "queuedAt", "leaseEpoch", "mcpAuthToken", "mcpAuthTokenExpiresAt"}
)
"""Members of QueuedWork that only the server makes; what a request says of them is not kept."""


async def enqueue_session(
    body: dict[str, Any],
    user: Principal,
    idempotency_key: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Queue a session, or park it while another one of its issue is at work."""
    return await put_once(
        user,
        "enqueueSession",
        body,
        idempotency_key,
        x_rensei_org,
        x_rensei_project,
        lambda db, project_id: _enqueue(db, user, project_id, body),
    )


async def _enqueue(
    db: AsyncConnection, user: Principal, project_id: str, body: dict[str, Any]
) -> tuple[dict[str, Any], int]:
    org_id = str(user.org_id)
    session_id = body.get("sessionId") or new_id("ses")
    salt = keyring.current().master.derive("public session ids")
    became = await enqueue(
        db,
        {
            "org_id": org_id,
            "id": session_id,
            "project_id": project_id,
            "public_id": public_session_id(session_id, salt),
            "issue_id": body["issueId"],
            "issue_identifier": body["issueIdentifier"],
            "issue_title": body.get("title"),
            "project_name": body.get("projectName"),
            "work_type": body.get("workType", DEFAULT_WORK_TYPE),
            "priority": body.get("priority", DEFAULT_PRIORITY),
            "work": {
                name: value
                for name, value in body.items()
                if name not in STORED_APART and name not in MADE_HERE
            },
        },
        actor=user,
    )
    if became == "known":
        raise Conflict(f"A session with the id {session_id} exists")
    row = await sessions.lock_by_id(db, org_id, session_id)
    return _session(row), 201


def _session(row: Any) -> dict[str, Any]:
    """The contract's EnqueuedSession."""
    return {
        "session": {
            "sessionId": row.id,
            "id": row.public_id,
            "projectId": row.project_id,
            "issueId": row.issue_id,
            "issueIdentifier": row.issue_identifier,
            "workType": row.work_type,
            "priority": row.priority,
            "status": public_status(row.status, row.waits_for),
            "queuedAt": epoch_ms(row.queued_at),
        }
    }
