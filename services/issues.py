"""Issues of the built-in tracker, found also where only a session tells of them."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.principal import Principal
from persistence import issues, tracker_issues
from services.ownership import credential_ended


async def require_alive(db: AsyncConnection, user: Principal) -> None:
    """Refuse a worker whose registration or whose own token has ended."""
    if not await tracker_issues.is_alive(db, user):
        raise credential_ended()


async def find(db: AsyncConnection, user: Principal, name: str) -> Any:
    """A visible issue by its id or identifier; raises `NotFound`.

    One that is known only as the issue of a session is noted with what the session tells.
    """
    org_id = str(user.org_id)
    found = await tracker_issues.find(db, org_id, user.projects, name) if name else None
    if found is not None:
        return found
    session = await tracker_issues.session_of(db, org_id, user.projects, name) if name else None
    if session is None:
        raise NotFound("Issue not found")
    identifier = session.issue_identifier or session.issue_id
    project = {"id": "", "name": session.project_name} if session.project_name else None
    description = session.work.get("body")
    await tracker_issues.add(
        db,
        {
            "org_id": org_id,
            "project_id": session.project_id,
            "id": session.issue_id,
            "identifier": identifier,
            "title": session.issue_title or identifier,
            "description": description if isinstance(description, str) else None,
            "priority": session.priority if 1 <= session.priority <= 4 else 0,
            "tracker_project": project,
            "created_at": session.created_at,
        },
    )
    found = await tracker_issues.find(db, org_id, user.projects, session.issue_id)
    if found is None:  # it was known, and the tracker has taken it away
        raise NotFound("Issue not found")
    return found


async def hold(db: AsyncConnection, user: Principal, name: str) -> Any:
    """The same, held for a change: whoever else changes the issue waits."""
    found = await find(db, user, name)
    await issues.take_turn(db, found.org_id, found.id)
    return await find(db, user, found.id)
