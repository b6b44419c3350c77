"""Sessions as people and programs see them."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from domain.errors import NotFound
from domain.principal import Principal
from domain.session_health import Observed, health
from domain.session_states import ENDED, pending_reason, public_status
from domain.times import iso
from handlers.replies import Reply
from persistence import database, organizations, projects, public_sessions
from services.tenancy import only_project, require_named_org

REFERRED = re.compile(r"/(?P<org>[^/]+)/(?P<project>[^/]+)/sessions(/|$)")


async def list_public_sessions(
    user: Principal,
    limit: int,
    cursor: str | None,
    project_id: str | None,
    project: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
    referer: str | None,
) -> Reply:
    """List the sessions that the credential may see, newest first."""
    async with database.statement() as db:
        await require_named_org(db, user, x_rensei_org)
        visible: frozenset[str] | None
        if project_id:
            visible = await only_project(db, user, project_id, by_slug=False)
        elif named := project or x_rensei_project:
            visible = await only_project(db, user, named)
        else:
            visible = await _referred(db, user, referer)
        page = await public_sessions.list_page(db, str(user.org_id), visible, limit, cursor)
    now = page.rows[0].now if page.rows else datetime.now().astimezone()
    return {
        "sessions": [_summary(row) for row in page.rows],
        "count": len(page.rows),
        "timestamp": iso(now),
        "nextCursor": page.next_cursor,
    }, 200


async def get_public_session(
    id_: str, user: Principal, x_rensei_org: str | None, x_rensei_project: str | None
) -> Reply:
    """Read one session with its time line."""
    async with database.statement() as db:
        await require_named_org(db, user, x_rensei_org)
        visible = (
            await only_project(db, user, x_rensei_project) if x_rensei_project else user.projects
        )
        session = await public_sessions.find(db, str(user.org_id), visible, id_)
    if session is None:
        raise NotFound("Session not found")
    return {"session": _detail(session), "timestamp": iso(session.now)}, 200


async def _referred(db: Any, user: Principal, referer: str | None) -> frozenset[str] | None:
    """The project that the page names, as long as it is one the credential sees."""
    try:
        match = REFERRED.fullmatch(urlsplit(referer or "").path)
    except ValueError:
        match = None
    if match is None:
        return user.projects
    org = await organizations.get(db, str(user.org_id))
    if match["org"] not in {org.slug, org.id}:
        return user.projects
    found = await projects.find(db, org.id, user.projects, match["project"])
    return frozenset({found.id}) if found else user.projects


def _summary(row: Any) -> dict[str, Any]:
    ended = row.status in ENDED
    last = row.finished_at if ended and row.finished_at else row.now
    optional = {"costUsd": row.total_cost_usd, "provider": row.provider}
    return {
        "id": row.public_id,
        "identifier": row.issue_identifier or "Unknown",
        "status": public_status(row.status, row.waits_for),
        "workType": row.work_type,
        "startedAt": iso(row.queued_at),
        "duration": max(0, int((last - row.queued_at).total_seconds())),
        "health": health(
            Observed(
                row.status,
                row.claimed_at,
                row.last_heartbeat_at,
                row.last_tool_called_at,
                row.tool_call_count,
            ),
            row.now,
        ),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _detail(row: Any) -> dict[str, Any]:
    times = {
        "created": row.created_at,
        "queued": row.queued_at,
        "started": row.claimed_at,
        "completed": row.finished_at,
    }
    optional = {
        "branch": (row.worktree_path or "").rstrip("/").rpartition("/")[2] or None,
        "issueTitle": row.issue_title,
        "inputTokens": row.input_tokens,
        "outputTokens": row.output_tokens,
        "failureReason": row.failure_reason,
        "pendingReason": pending_reason(row.status, row.waits_for),
        "externalUrls": row.external_urls or None,
        "links": row.links,
        "unconfirmedMessages": row.unconfirmed,
    }
    return {
        **_summary(row),
        "timeline": {name: iso(at) for name, at in times.items() if at is not None},
        **{name: value for name, value in optional.items() if value is not None},
    }
