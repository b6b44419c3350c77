"""A project's settings: its repositories, its connections, and which work starts by itself."""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Invalid, NotFound
from domain.principal import Principal
from domain.repositories import places
from handlers.etags import etag, require_match
from handlers.replies import Reply
from persistence import audit, connections, database, project_settings

PLAIN: Final = {
    "name": "name",
    "disabledWorkTypes": "disabled_work_types",
    "excludedLabels": "excluded_labels",
}
"""Members that are a column each: member -> column."""

GROUPS: Final = {
    "automation": {
        "development": "auto_development",
        "qa": "auto_qa",
        "acceptance": "auto_acceptance",
        "refinement": "auto_refinement",
        "failedRuns": "scan_failed_runs",
        "failedDeployments": "scan_failed_deployments",
    },
    "limits": {
        "triesPerWorkType": "tries_per_work_type",
        "sessionsPerIssue": "sessions_per_issue",
    },
    "connections": {
        "linear": "linear_connection_id",
        "github": "github_connection_id",
        "vercel": "vercel_connection_id",
    },
}
"""Members whose own members are a column each."""

REPLACED_WHOLE: Final = frozenset({"repositories", "disabledWorkTypes", "excludedLabels"})
"""Lists, of which a change that was made without reading undoes what others had put there."""


async def get_project_settings(org_id: str, project_id: str, user: Principal) -> Reply:
    """Read the settings of a project."""
    user.require_org(org_id)
    async with database.statement() as db:
        row = await project_settings.get(db, org_id, user.projects, project_id)
    return {"settings": _settings(row)}, 200, etag(row.settings_version)


async def update_project_settings(
    org_id: str, project_id: str, body: dict[str, Any], user: Principal, request: Any
) -> Reply:
    """Change the members that are given and leave the others."""
    user.require_org(org_id)
    if "repositories" in body:
        body = {**body, "repositories": [_repository(each) for each in body["repositories"]]}
    async with database.transaction() as db:
        row = await project_settings.get(db, org_id, user.projects, project_id, hold=True)
        needed = not REPLACED_WHOLE.isdisjoint(body)
        require_match(request, row.settings_version, needed=needed)
        await _check_connections(db, org_id, body.get("connections", {}))
        changed = await project_settings.change(db, org_id, project_id, _columns(row, body))
        await audit.append(
            db, org_id, user, "project.settings_changed", ("project", project_id), body
        )
    return {"settings": _settings(changed)}, 200, etag(changed.settings_version)


async def _check_connections(
    db: AsyncConnection, org_id: str, chosen: dict[str, str | None]
) -> None:
    """Refuse a connection that is not the organization's, or is one to another provider."""
    named = {provider: each for provider, each in chosen.items() if each is not None}
    if not named:
        return
    providers = await connections.providers_of(db, org_id, list(named.values()))
    for provider, connection_id in named.items():
        found = providers.get(connection_id)
        if found is None:
            raise NotFound("Connection not found")
        if found != provider:
            raise Invalid(f"body.connections.{provider}: is a connection to {found}")


def _columns(row: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The columns that a change writes."""
    columns = {column: body[member] for member, column in PLAIN.items() if member in body}
    for group, members in GROUPS.items():
        given = body.get(group, {})
        columns |= {column: given[member] for member, column in members.items() if member in given}
    if "repositories" in body:
        first, *others = body["repositories"] or [{}]
        columns["repository"] = first.get("cloneUrl")
        columns["default_branch"] = first.get("defaultBranch")
        columns["other_repositories"] = others
        columns["repository_places"] = places(each["cloneUrl"] for each in body["repositories"])
    if "stateNames" in body:
        merged = {**row.state_names, **body["stateNames"]}
        names = {state: name for state, name in merged.items() if name is not None}
        columns["state_names"] = _one_to_one(names)
    return columns


def _one_to_one(names: dict[str, str]) -> dict[str, str]:
    """The names as they are; refuses two states of one name, which could not be told apart when
    the tracker reports it."""
    known: dict[str, str] = {}
    for state, name in names.items():
        other = known.setdefault(name.strip().lower(), state)
        if other != state:
            raise Invalid(f"body.stateNames: {other} and {state} must not have one name")
    return names


def _repository(each: dict[str, Any]) -> dict[str, Any]:
    return {"cloneUrl": each["cloneUrl"], "defaultBranch": each.get("defaultBranch")}


def _settings(row: Any) -> dict[str, Any]:
    first = {"cloneUrl": row.repository, "defaultBranch": row.default_branch}
    return {
        "repositories": [first, *row.other_repositories] if row.repository else [],
        "stateNames": row.state_names,
        **{member: getattr(row, column) for member, column in PLAIN.items()},
        **{
            group: {member: getattr(row, column) for member, column in members.items()}
            for group, members in GROUPS.items()
        },
    }
