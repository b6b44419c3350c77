"""People and programs steer a session: a prompt, a stop."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.principal import Principal
from domain.session_states import public_status
from handlers.replies import Reply
from persistence import database, sessions
from persistence.ephemeral import nudges, session_news
from services import steering
from services.tenancy import only_project, require_named_org


async def prompt_session(
    id_: str,
    body: dict[str, Any],
    user: Principal,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Deliver a prompt, once per idempotency key."""
    key = body.get("idempotencyKey")
    async with database.transaction() as db:
        session = await _held(db, user, id_, x_rensei_org, x_rensei_project)
        prompted = await steering.prompt(
            db, session, body["prompt"], actor=user, idempotency_key=key
        )
        session = prompted.session
    session_news.tell_surely(session.org_id, session.id)
    await nudges.try_nudge(nudges.work(session.org_id, session.project_id))
    status = public_status(session.status, session.waits_for)
    answer = {
        "delivered": True,
        "promptId": prompted.prompt_id,
        "sessionId": id_,
        "status": status,
        "sessionStatus": status,
        "deliveryTier": "durable",
    }
    return {**answer, "idempotencyKey": key} if key else answer, 200


async def stop_session(
    id_: str, user: Principal, x_rensei_org: str | None, x_rensei_project: str | None
) -> Reply:
    """Stop a session at once; what it held is free when this answers."""
    async with database.transaction() as db:
        session = await _held(db, user, id_, x_rensei_org, x_rensei_project)
        stopped = await steering.stop(db, session, actor=user)
    session_news.tell_surely(stopped.org_id, stopped.id)
    await nudges.try_nudge(nudges.PARKED)
    await nudges.try_nudge(nudges.work(stopped.org_id, stopped.project_id))
    return {
        "stopped": True,
        "sessionId": id_,
        "previousStatus": session.status,
        "newStatus": stopped.status,
    }, 200


async def _held(
    db: AsyncConnection, user: Principal, public_id: str, org: str | None, project: str | None
) -> Any:
    """The row of a session that the caller may steer, held until the end of the transaction."""
    await require_named_org(db, user, org)
    visible = await only_project(db, user, project) if project else user.projects
    session = await sessions.lock_any(db, str(user.org_id), visible, public_id=public_id)
    if session is None:
        raise NotFound("Session not found")
    return session
