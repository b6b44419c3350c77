"""Who a credential speaks for, and its exchange for a browser session."""

import secrets
from datetime import UTC, datetime
from typing import Any

import settings
from auth.schemes import COOKIE
from domain.errors import NotFound
from domain.ids import fingerprint
from domain.principal import Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import audit, browser_sessions, database, organizations

BROWSER_SESSION_HOURS = 12


async def whoami(user: Principal, x_rensei_org: str | None) -> Reply:
    """Show the organization, projects and scopes of the credential."""
    async with database.statement() as db:
        org, projects = await organizations.get_with_projects(db, str(user.org_id), user.projects)
    if x_rensei_org and x_rensei_org not in {org.org_id, org.org_slug}:
        raise NotFound("Organization not found")
    return {
        "org": {
            "id": org.org_id,
            "name": org.org_name,
            "slug": org.org_slug,
            "plan": "self-hosted",
        },
        "projects": [
            {
                "id": project.id,
                "name": project.name,
                "slug": project.slug,
                "isDefault": project.is_default,
                "sandboxProvider": None,
                "teamSlug": None,
                "teamName": None,
            }
            for project in projects
        ],
        "scopes": sorted(user.scopes),
    }, 200


async def create_browser_session(user: Principal) -> Reply:
    """Exchange an API key for the cookie; the only place that makes one."""
    org_id = str(user.org_id)
    token = secrets.token_urlsafe(32)
    async with database.transaction() as db:
        expires_at = await browser_sessions.create(
            db, org_id, user.id, fingerprint(token), BROWSER_SESSION_HOURS
        )
        await audit.append(db, org_id, user, "browser_session.opened", ("api_key", user.id))
    seconds = max(0, round((expires_at - datetime.now(UTC)).total_seconds()))
    return (
        {"orgId": org_id, "expiresAt": iso(expires_at)},
        201,
        {"Set-Cookie": _cookie(token, seconds), "Cache-Control": "no-store"},
    )


async def end_browser_session(user: Principal, request: Any) -> Reply:
    """End the session of the cookie and clear the cookie."""
    org_id = str(user.org_id)
    async with database.transaction() as db:
        await browser_sessions.end(db, org_id, fingerprint(request.cookies[COOKIE]))
        await audit.append(db, org_id, user, "browser_session.ended", ("api_key", user.id))
    return {"ended": True}, 200, {"Set-Cookie": _cookie("", 0)}


def _cookie(value: str, seconds: int) -> str:
    secure = "; Secure" if settings.current().own_address.startswith("https:") else ""
    return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"
