"""Workers ask for work."""

import asyncio
from typing import Any

import settings
from auth.session_tokens import SessionAgent
from domain.errors import NotFound
from domain.principal import Principal
from domain.times import epoch_ms
from handlers.replies import Reply
from persistence import batch_jobs, database, inbox, queue, recovery, sessions
from persistence.ephemeral import session_news
from services import batch_lanes, git_tokens, work_bell
from services.agent_access import agent_access
from services.ownership import credential_ended, no_such_worker
from services.repositories import of_project, repository_of


async def worker_poll(id_: str, user: Principal, wait_seconds: float) -> Reply:
    """Claim the next sessions this worker has room for, and offer what its others have in store.

    A lane beside the sessions costs a statement only when a job waits in it.
    """
    user.require_worker(id_)
    org_id, registration_id = str(user.org_id), str(user.registration_id)
    bell, clock = work_bell.current(), asyncio.get_running_loop().time
    until = clock() + wait_seconds
    while True:
        rows = await queue.claim(org_id, id_, registration_id, settings.current().lease_seconds)
        if not rows:
            raise await no_such_worker(user, id_)
        claimed = [row for row in rows if row.session_id is not None]
        messages = await _messages(org_id, id_, claimed) if rows[0].has_inbox else {}
        batch = await batch_jobs.claim(org_id, id_, registration_id) if rows[0].has_batch else []
        if claimed or messages or batch or bell.ending or clock() >= until:
            break
        await bell.wait(org_id, rows[0].own_project_id, until - clock())
    for row in claimed:
        session_news.tell_surely(org_id, row.session_id)
    git_credentials = await git_tokens.current().credentials(org_id, rows[0], claimed=bool(claimed))
    return {
        "work": [
            queued_work(row, org_id, row)
            | of_project(row.work, row.project_repository, row.default_branch)
            | await agent_access(
                SessionAgent(org_id, row.project_id, row.session_id, id_), row.polled_at
            )
            for row in claimed
        ],
        "inboxMessages": messages,
        "hasInboxMessages": bool(messages),
        "preClaimed": bool(claimed),
        "claimedSessionIds": [row.session_id for row in claimed],
        **await batch_lanes.lanes(rows[0].capabilities or (), batch),
        "gitCredentials": git_credentials,
    }, 200


async def _messages(
    org_id: str, worker_id: str, claimed: list[Any]
) -> dict[str, list[dict[str, Any]]]:
    """The messages due, by session; for what was claimed just now they come with a later poll."""
    due: dict[str, list[dict[str, Any]]] = {}
    for row in await inbox.offer(org_id, worker_id, [each.session_id for each in claimed]):
        due.setdefault(row.session_id, []).append(inbox_message(row))
    return due


def inbox_message(row: Any) -> dict[str, Any]:
    """The contract's InboxMessage, in the words of both families of clients."""
    message_id = f"{row.ms}-{row.seq}"
    optional = {"userId": row.user_id, "userName": row.user_name, "turnId": row.turn_id}
    return {
        "id": message_id,
        "type": row.type,
        "sessionId": row.session_id,
        "payload": row.payload,
        "createdAt": epoch_ms(row.created_at),
        "lane": row.lane,
        "deliveryId": message_id,
        "text": row.payload,
        **({"kind": "user"} if row.type == "directive" else {}),
        **{name: value for name, value in optional.items() if value},
    }


async def get_daemon_session_detail(id_: str, user: Principal, request: Any) -> Reply:
    """Read what waits in the queue, without claiming it."""
    session = await sessions.read(user, id_)
    if not session.alive:
        raise credential_ended()
    if session.id is None or session.status != "pending" or session.waits_for is not None:
        raise NotFound("Session is not in the queue")
    async with database.statement() as db:
        packet = await recovery.riding(db, session)
    _, _, bearer = request.headers["authorization"].partition(" ")
    return (
        {
            **queued_work(session, session.org_id, packet),
            **await repository_of(session.org_id, session.project_id, session.work),
            "platformUrl": settings.current().own_address,
            "authToken": bearer.strip(),
        },
        200,
        {"Cache-Control": "no-store"},
    )


def queued_work(session: Any, org_id: str, packet: Any) -> dict[str, Any]:
    """The contract's QueuedWork: what came with the session, completed with what is stored.

    `packet` is the recovery packet that rides with it: a row of `recovery_for`, or None.
    """
    recovered = packet is not None and packet.recovery_packet_id is not None
    texts = [session.work.get("memoryBlock"), packet.recovery_text] if recovered else []
    texts = [each for each in texts if isinstance(each, str) and each]
    optional = {
        "recoveryPacketId": packet.recovery_packet_id if recovered else None,
        "memoryBlock": "\n\n".join(texts),
        "projectName": session.project_name,
        "providerSessionId": session.provider_session_id,
        "title": session.issue_title,
    }
    return {
        **session.work,
        "sessionId": getattr(session, "session_id", None) or session.id,
        "issueId": session.issue_id,
        "issueIdentifier": session.issue_identifier,
        "priority": session.priority,
        "queuedAt": epoch_ms(session.queued_at),
        "workType": session.work_type,
        "organizationId": org_id,
        "projectId": session.project_id,
        "leaseEpoch": session.lease_epoch,
        **{name: value for name, value in optional.items() if value},
    }
