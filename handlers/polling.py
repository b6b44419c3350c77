"""Workers ask for work."""

from typing import Any

import settings
from domain.principal import Principal
from domain.times import epoch_ms
from handlers.replies import Reply
from persistence import queue
from services.ownership import no_such_worker


async def worker_poll(id_: str, user: Principal) -> Reply:
    """Claim the next sessions this worker has room for."""
    user.require_worker(id_)
    claimed = await queue.claim(
        str(user.org_id), id_, str(user.registration_id), settings.current().lease_seconds
    )
    if claimed is None:
        raise await no_such_worker(user, id_)
    return {
        "work": [queued_work(session, str(user.org_id)) for session in claimed],
        "inboxMessages": {},
        "hasInboxMessages": False,
        "preClaimed": bool(claimed),
        "claimedSessionIds": [session.session_id for session in claimed],
    }, 200


def queued_work(session: Any, org_id: str) -> dict[str, Any]:
    """The contract's QueuedWork: what came with the session, completed with what is stored."""
    optional = {
        "projectName": session.project_name,
        "providerSessionId": session.provider_session_id,
        "title": session.issue_title,
    }
    return {
        **session.work,
        "sessionId": session.session_id,
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
