"""Linear's webhook payloads, read into values. Only what is used is read, all of it checked."""

from dataclasses import dataclass
from typing import Any, Final

from domain.work_types import for_agent_session

DEFAULT_PRIORITY: Final = 3
MOST_ID_CHARACTERS: Final = 200


class Unreadable(ValueError):
    """The payload lacks what its kind always has; trying again will not help."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """The work that an `AgentSessionEvent` of action `created` asks for."""

    session_id: str
    issue_id: str
    issue_identifier: str
    issue_title: str | None
    project_name: str | None
    work_type: str
    priority: int
    work: dict[str, Any]


def kind(payload: dict[str, Any]) -> str:
    """Type and action as one word, such as `AgentSessionEvent.created`."""
    return f"{payload.get('type')}.{payload.get('action')}"[:MOST_ID_CHARACTERS]


def created_session(payload: dict[str, Any]) -> NewSession:
    """Read the event; raises `Unreadable`."""
    agent_session = _object(payload, "agentSession")
    session_id = _text(agent_session, "id")
    if not session_id:
        raise Unreadable("agentSession.id is missing")
    if len(session_id) > MOST_ID_CHARACTERS:
        raise Unreadable(f"agentSession.id is longer than {MOST_ID_CHARACTERS} characters")
    issue = _object(agent_session, "issue")
    description = _text(issue, "description")
    extra = {
        "linearSessionId": session_id,
        "title": _text(issue, "title"),
        "body": description,
        "promptContext": _text(payload, "promptContext") or _text(agent_session, "promptContext"),
    }
    return NewSession(
        session_id=session_id,
        issue_id=_text(issue, "id") or _text(agent_session, "issueId") or "",
        issue_identifier=_text(issue, "identifier") or "",
        issue_title=_text(issue, "title"),
        project_name=_text(_object(issue, "project"), "name"),
        work_type=for_agent_session(_text(_object(issue, "state"), "name"), description),
        priority=_priority(issue.get("priority")),
        work={name: value for name, value in extra.items() if value},
    )


def agent_id(payload: dict[str, Any]) -> str | None:
    """The id by which Linear knows the agent whose session an event is about."""
    agent_session = _object(payload, "agentSession")
    found = (
        _text(agent_session, "appUserId")
        or _text(_object(agent_session, "appUser"), "id")
        or _text(payload, "appUserId")
    )
    return found and found[:MOST_ID_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Prompted:
    """What somebody said to an agent: a signal, a text, or both."""

    session_id: str
    text: str
    stop: bool
    author: tuple[str, str] | None


def prompted(payload: dict[str, Any]) -> Prompted:
    """Read an `AgentSessionEvent` of action `prompted`; raises `Unreadable`.

    A `continue` without a text asks for just that.
    """
    session_id = _text(_object(payload, "agentSession"), "id")
    if not session_id:
        raise Unreadable("agentSession.id is missing")
    activity = _object(payload, "agentActivity")
    content = _object(activity, "content")
    text = _text(activity, "body") or _text(content, "body") or _text(payload, "promptContext")
    user = _object(payload, "user") or _object(activity, "user")
    user_id, name = _text(user, "id"), _text(user, "name")
    return Prompted(
        session_id,
        text or "Continue.",
        _text(activity, "signal") == "stop",
        (user_id or "", name or "") if user_id or name else None,
    )


def ended_elsewhere(payload: dict[str, Any]) -> str | None:
    """The id of a session that an `updated` event says has completed or failed in Linear."""
    agent_session = _object(payload, "agentSession")
    state = _text(agent_session, "state") or _text(agent_session, "status")
    return _text(agent_session, "id") if state in {"completed", "failed"} else None


def _priority(value: Any) -> int:
    """Linear's 1 (urgent) to 4 (low) as they are; its 0, none, in the middle."""
    usable = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 4
    return value if usable else DEFAULT_PRIORITY


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _text(parent: dict[str, Any], name: str) -> str | None:
    value = parent.get(name)
    return value if isinstance(value, str) and value else None
