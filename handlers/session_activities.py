"""What the agent of a session did, step by step."""

import hashlib
import hmac
import re
from typing import Any

from auth import schemes
from domain.errors import NotFound, Unauthenticated
from domain.principal import Principal
from domain.session_states import public_status
from handlers.replies import Reply
from persistence import session_activities
from persistence.session_activities import Size
from services import session_feed
from services.tenancy import visible_projects

PAGE = Size(activities=1000, bytes=4_000_000)
PUBLIC_ID = re.compile(r"[a-f0-9]{16}")


async def get_session_activities(
    user: Principal | None,
    request: Any,
    session_id: str,
    session_hash: str | None,
    cursor: str | None,
    after: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Read the activities after a cursor, by a credential or by the session's link."""
    place = cursor if cursor is not None else after
    number = session_feed.number_in(place)
    if session_hash is not None:
        await _require_hash(request, session_id, session_hash)
        feed = await session_activities.read_by_link(session_id, number, PAGE)
    elif user is None:
        raise Unauthenticated
    else:
        visible = await visible_projects(user, x_rensei_org, x_rensei_project)
        feed = await session_feed.read(user, visible, session_id, number, PAGE)
    if feed is None:
        raise NotFound("Session not found")
    last = str(feed.activities[-1].seq) if feed.activities else place
    return {
        "activities": [session_feed.shown(row) for row in feed.activities],
        **({} if last is None else {"cursor": last}),
        "sessionStatus": public_status(feed.status),
    }, 200


async def _require_hash(request: Any, session_id: str, given: str) -> None:
    """Let pass who shows the session's link, which is made from the tracker's id alone."""
    if PUBLIC_ID.fullmatch(session_id):
        raise NotFound("Session not found")
    right = hashlib.sha256(f"session:{session_id}".encode()).hexdigest()[:32]
    if not hmac.compare_digest(right, given):
        await schemes.count_failure(request)
        raise Unauthenticated("The sessionHash is not that of the session")
