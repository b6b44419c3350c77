"""Issues, comments and relations in the words that workers read."""

from collections.abc import Iterable
from typing import Any

from domain import issue_states
from domain.times import epoch_ms, iso


def issue(row: Any) -> dict[str, Any]:
    """The contract's TrackerIssue."""
    optional = {
        "description": row.description,
        "state": state(row),
        "team": team(row),
    }
    parent = row.parent_id and {
        "id": row.parent_id,
        "identifier": row.parent_identifier or row.parent_id,
    }
    return {
        "id": row.id,
        "identifier": row.identifier,
        "title": row.title,
        "url": url(row),
        "priority": row.priority,
        "labels": row.labels,
        "assignee": row.assignee,
        "parent": parent or None,
        "project": row.tracker_project,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
        **{name: value for name, value in optional.items() if value},
    }


def state(row: Any) -> dict[str, str] | None:
    """The state under our name; its id is the team's where the team's state is the same."""
    reported = row.reported_state
    if row.state is None:
        return dict(reported) if reported else None
    name = {"name": issue_states.shown(row.state), "type": issue_states.STATES[row.state]}
    names = getattr(row, "state_names", {})
    if reported and issue_states.ours(reported["name"], reported["type"], names) == row.state:
        return {**name, "id": reported["id"], "type": reported["type"] or name["type"]}
    return {**name, "id": issue_states.KEPT_HERE + row.state}


def state_name(row: Any) -> str:
    shown = state(row)
    return shown["name"] if shown else ""


def team(row: Any) -> dict[str, str] | None:
    """The issue's team; before the tracker has told of it, the identifier gives its key."""
    if row.team:
        return dict(row.team)
    key, dash, _ = row.identifier.rpartition("-")
    return {"id": key, "name": key, "key": key} if dash and key else None


def url(row: Any) -> str:
    return row.url or f"https://linear.app/issue/{row.identifier}"


def comment(row: Any) -> dict[str, Any]:
    """The contract's TrackerComment."""
    author = row.author and {"id": row.author["id"], "name": row.author["name"]}
    return {
        "id": row.id,
        "body": row.body,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
        "user": author or None,
    }


def relation(row: Any) -> dict[str, Any]:
    optional = {
        "issueIdentifier": row.identifier,
        "relatedIssueIdentifier": row.related_identifier,
    }
    return {
        "id": row.id,
        "type": row.type,
        "issueId": row.issue_id,
        "relatedIssueId": row.related_issue_id,
        "createdAt": iso(row.created_at),
        **{name: value for name, value in optional.items() if value},
    }


def graph(parent: Any, children: Iterable[Any], relations: Iterable[Any]) -> dict[str, Any]:
    """An issue's sub-issues, and which of them block which."""
    children = list(children)
    names = {row.id: row.identifier for row in children}
    blocks: dict[str, list[str]] = {row.id: [] for row in children}
    blocked: dict[str, list[str]] = {row.id: [] for row in children}
    for each in relations:
        if each.type == "blocks" and each.issue_id in names and each.related_issue_id in names:
            blocks[each.issue_id].append(names[each.related_issue_id])
            blocked[each.related_issue_id].append(names[each.issue_id])
    return {
        "parentId": parent.id,
        "parentIdentifier": parent.identifier,
        "subIssues": [
            {
                "issue": {
                    "id": row.id,
                    "identifier": row.identifier,
                    "title": row.title,
                    "priority": row.priority,
                    "labels": [label["name"] for label in row.labels],
                    "url": url(row),
                    **({"description": row.description} if row.description else {}),
                    **({"status": state_name(row)} if state_name(row) else {}),
                },
                "blockedBy": blocked[row.id],
                "blocks": blocks[row.id],
            }
            for row in children
        ],
    }


def listed(row: Any) -> dict[str, Any]:
    """One of the issues of a project."""
    project = row.tracker_project
    optional = {
        "description": row.description,
        "parentId": row.parent_id,
        "project": project and project["name"],
    }
    return {
        "id": row.id,
        "identifier": row.identifier,
        "title": row.title,
        "status": state_name(row),
        "labels": [label["name"] for label in row.labels],
        "createdAt": epoch_ms(row.created_at),
        "childCount": row.children,
        **{name: value for name, value in optional.items() if value},
    }
