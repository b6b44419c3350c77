"""Linear's events about issues, comments and labels, read into the columns of the built-in tracker.

Only what is used is read, all of it checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain import times
from domain.linear_events import MOST_ID_CHARACTERS, Unreadable

MOST_TEXT_CHARACTERS: Final = 200_000
MOST_LABELS: Final = 200


@dataclass(frozen=True, slots=True)
class ReportedIssue:
    """An issue as the tracker tells of it; `columns` are those of `tracker_issues` it speaks of."""

    id: str
    columns: dict[str, Any]
    changed: frozenset[str]
    """What the event says has changed, in the tracker's words; empty when it says nothing."""
    assignees: frozenset[str] = frozenset()
    """The ids of those to whom the event says that the issue is given."""

    @property
    def at(self) -> datetime | None:
        at: datetime | None = self.columns.get("reported_at")
        return at


@dataclass(frozen=True, slots=True)
class ReportedComment:
    """A comment on an issue."""

    id: str
    issue_id: str
    body: str
    author: dict[str, str] | None
    created_at: datetime | None


def issue(payload: Mapping[str, Any]) -> ReportedIssue:
    """Read an `Issue` event, which tells the whole issue; raises `Unreadable`."""
    data = _object(payload, "data")
    issue_id = _id(data, "data.id")
    parent = _object(data, "parent")
    columns = {
        **_known(data),
        "description": _text(data, "description"),
        "assignee": _person(_object(data, "assignee")),
        "parent_id": _text(parent, "id") or _text(data, "parentId"),
        "parent_identifier": _text(parent, "identifier"),
        "tracker_project": _named(_object(data, "project")),
        "labels": _labels(data.get("labels")),
        "reported_at": _instant(data, "updatedAt") or _instant(payload, "createdAt"),
    }
    if "title" not in columns or "identifier" not in columns:
        raise Unreadable("data.title or data.identifier is missing")
    assignees = [
        _text(data, f"{role}Id") or _text(_object(data, role), "id")
        for role in ("assignee", "delegate")
    ]
    return ReportedIssue(
        issue_id,
        columns,
        frozenset(_object(payload, "updatedFrom")),
        frozenset(each for each in assignees if each),
    )


def issue_of_session(payload: Mapping[str, Any]) -> ReportedIssue | None:
    """What an agent session's event tells of its issue: less than an issue's own event.

    None when it names none by id and identifier.
    """
    data = _object(_object(payload, "agentSession"), "issue")
    issue_id, columns = _text(data, "id"), _known(data)
    if not issue_id or len(issue_id) > MOST_ID_CHARACTERS or "identifier" not in columns:
        return None
    columns.setdefault("title", columns["identifier"])
    description = _text(data, "description")
    optional = {
        "description": description,
        "assignee": _person(_object(data, "assignee")),
        "tracker_project": _named(_object(data, "project")),
        "parent_id": _text(_object(data, "parent"), "id") or _text(data, "parentId"),
        "parent_identifier": _text(_object(data, "parent"), "identifier"),
    }
    columns |= {name: value for name, value in optional.items() if value}
    if isinstance(data.get("labels"), list):
        columns["labels"] = _labels(data["labels"])
    return ReportedIssue(issue_id, columns, frozenset())


def removed(payload: Mapping[str, Any]) -> str:
    """The id of what a `removed` event is about; raises `Unreadable`."""
    return _id(_object(payload, "data"), "data.id")


def comment(payload: Mapping[str, Any]) -> ReportedComment | None:
    """Read a `Comment` event; None when it is on no issue. Raises `Unreadable`."""
    data = _object(payload, "data")
    comment_id = _id(data, "data.id")
    issue_id = _text(data, "issueId") or _text(_object(data, "issue"), "id")
    if not issue_id:
        return None
    return ReportedComment(
        comment_id,
        issue_id[:MOST_ID_CHARACTERS],
        _text(data, "body") or "",
        _person(_object(data, "user")),
        _instant(data, "createdAt"),
    )


def label(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Id and name of an `IssueLabel` event; raises `Unreadable`."""
    data = _object(payload, "data")
    name = _text(data, "name")
    if not name:
        raise Unreadable("data.name is missing")
    return _id(data, "data.id"), name


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are there; what an event leaves out stays as it was."""
    state, team = _object(data, "state"), _object(data, "team")
    priority = data.get("priority")
    found = {
        "identifier": _text(data, "identifier"),
        "title": _text(data, "title"),
        "url": _text(data, "url"),
        "priority": priority
        if isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority <= 4
        else None,
        "reported_state": _typed(state),
        "team": _team(team),
        "created_at": _instant(data, "createdAt"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _typed(state: Mapping[str, Any]) -> dict[str, str] | None:
    name = _text(state, "name")
    if not name:
        return None
    return {"id": _text(state, "id") or "", "name": name, "type": _text(state, "type") or ""}


def _team(team: Mapping[str, Any]) -> dict[str, str] | None:
    team_id, key = _text(team, "id"), _text(team, "key")
    if not team_id:
        return None
    return {"id": team_id, "name": _text(team, "name") or key or team_id, "key": key or ""}


def _named(entity: Mapping[str, Any]) -> dict[str, str] | None:
    name = _text(entity, "name")
    return {"id": _text(entity, "id") or "", "name": name} if name else None


def _person(person: Mapping[str, Any]) -> dict[str, str] | None:
    person_id = _text(person, "id")
    if not person_id:
        return None
    email = _text(person, "email")
    return {
        "id": person_id,
        "name": _text(person, "name") or person_id,
        **({"email": email} if email else {}),
    }


def _labels(value: Any) -> list[dict[str, str]]:
    found = [_named(each) for each in value if isinstance(each, dict)] if value else []
    return [each for each in found if each is not None][:MOST_LABELS]


def _id(data: Mapping[str, Any], place: str) -> str:
    value = _text(data, "id")
    if not value or len(value) > MOST_ID_CHARACTERS:
        raise Unreadable(f"{place} is missing, or longer than {MOST_ID_CHARACTERS} characters")
    return value


def _instant(data: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return times.parse(_text(data, name) or "")
    except ValueError:
        return None


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _text(parent: Mapping[str, Any], name: str) -> str | None:
    value = parent.get(name)
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "")[:MOST_TEXT_CHARACTERS] or None
