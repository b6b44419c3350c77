"""What keeps a session at work in touch: its lock on the issue, and its messages."""

from typing import Any

from domain.errors import Invalid
from domain.principal import Principal
from domain.session_states import HELD
from handlers.replies import Reply
from persistence import database, inbox, issues, sessions
from services.ownership import hold


async def lock_refresh(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Keep a session's hold on its issue, or take it again; false only when another holds it."""
    user.require_worker(body["workerId"])
    async with database.transaction() as db:
        session = await hold(db, user, id_, body["workerId"], body.get("leaseEpoch"))
        if body["issueId"] != session.issue_id:
            raise Invalid("body.issueId: is not the issue of this session")
        await inbox.acknowledge(db, session.org_id, id_, _ids(body))
        refreshed = session.status in HELD and (
            session.holds_issue or await issues.take(db, session.org_id, session.issue_id, id_)
        )
        await sessions.change(db, session.org_id, id_, {})
    answer: dict[str, Any] = {"refreshed": refreshed}
    if session.status == "stopped":
        answer["stop"] = True
    return answer, 200


async def inbox_ack(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Note that a message reached the agent; a repeat answers the same."""
    async with database.transaction() as db:
        session = await hold(db, user, id_, None, None)
        await inbox.acknowledge(db, session.org_id, id_, [body["messageId"]])
        await sessions.change(db, session.org_id, id_, {})
    return {"acknowledged": True}, 200


def _ids(body: dict[str, Any]) -> list[str]:
    """Everything in the body's arrays that may be a message's id.

    One client acknowledges with its lock refresh or not at all, under a name of its own.
    """
    return [
        each
        for value in body.values()
        if isinstance(value, list)
        for each in value[:1000]
        if isinstance(each, str)
    ]
