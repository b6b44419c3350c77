"""What a session's reports look like in the tracker: which are told there, and in what words."""

from collections.abc import Sequence
from typing import Any, Final

from domain import interviews

MOST_COMMENT_CHARACTERS: Final = 10_000
HEADER_CHARACTERS: Final = 100
MOST_COMMENTS: Final = 10
MOST_TITLE_CHARACTERS: Final = 200

FORWARDED: Final = frozenset({"thought", "action", "response", "error"})

RECEIVED: Final = {
    "queued": "Received. A worker takes this up next.",
    "parked": "Received. This waits until the session at work on the issue has ended.",
}

CLOSING: Final = {
    "completed": "The session is completed.",
    "failed": "The session failed: {reason}",
    "stopped": "The session was stopped.",
}

_MARKS: Final = {"completed": "x"}
_NOTES: Final = {"inProgress": " (in progress)", "canceled": " (canceled)"}
_BREAKS: Final = ("\n\n", "\n", " ")


def agent_session_of(session_id: str, provider_session_id: str | None) -> str | None:
    """The tracker's agent session that a session writes to; None when it is bound to none.

    A session that an agent session's event made has that one's id. One of an id that starts
    `governor-` was made without; it is bound once a worker reports another id for it. That of an
    interview never is.
    """
    if session_id.startswith(interviews.SESSION):
        return None
    bound = provider_session_id or session_id
    if bound.startswith("governor-"):
        return None
    return bound if session_id.startswith("governor-") else session_id


def activity(reported: dict[str, Any]) -> dict[str, Any] | None:
    """An agent's activity as the tracker's content; None when its type is not told there."""
    kind, text = reported["type"], _cut(reported["content"])
    if kind not in FORWARDED:
        return None
    if kind != "action":
        return {"type": kind, "body": text}
    content = {"type": "action", "action": reported.get("toolName") or "Step", "parameter": text}
    result = reported.get("toolOutput")
    return {**content, "result": _cut(result)} if isinstance(result, str) and result else content


def thought(text: str) -> dict[str, Any]:
    return {"type": "thought", "body": _cut(text)}


def received(became: str) -> dict[str, Any]:
    """The first sign of life of a session that a webhook made."""
    return thought(RECEIVED.get(became, RECEIVED["queued"]))


def closing(status: str, failure_reason: str | None) -> dict[str, Any]:
    """The response that ends an agent session."""
    text = CLOSING[status].format(reason=failure_reason or "no reason was given")
    return {"type": "response", "body": _cut(text)}


def tool_error(tool_name: str, error_message: str, facts: dict[str, Any]) -> tuple[str, str]:
    """Title and description of the issue about a tool that does not work."""
    title = f"Tool error: {tool_name}: {error_message.splitlines()[0]}"
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    body = _cut(error_message, MOST_COMMENT_CHARACTERS // 2).replace("```", "'''")
    return title[:MOST_TITLE_CHARACTERS], _cut("\n".join([f"```\n{body}\n```", "", *lines]))


def completion(summary: str, plan_items: Sequence[dict[str, Any]] | None) -> str:
    """The text that concludes a session, its plan below as a list of boxes."""
    boxes = [
        f"- [{_MARKS.get(str(item.get('state')), ' ')}] {item.get('title', '')}"
        f"{_NOTES.get(str(item.get('state')), '')}"
        for item in plan_items or []
    ]
    return "\n".join([summary, "", *boxes]) if boxes else summary


def comments(text: str) -> tuple[list[str], int]:
    """A text as comments that the tracker takes, and how many characters are left over.

    More than one are numbered. Breaks fall between paragraphs, lines or words where one is near.
    """
    room = MOST_COMMENT_CHARACTERS - HEADER_CHARACTERS
    parts: list[str] = []
    while text and len(parts) < MOST_COMMENTS:
        end = _break(text, room)
        parts.append(text[:end].rstrip())
        text = text[end:].lstrip("\n")
    if len(parts) > 1:
        count = len(parts)
        parts = [f"**Part {n} of {count}**\n\n{part}" for n, part in enumerate(parts, 1)]
    return parts, len(text)


def _break(text: str, room: int) -> int:
    if len(text) <= room:
        return len(text)
    for mark in _BREAKS:
        end = text.rfind(mark, room // 2, room)
        if end > 0:
            return end + len(mark)
    return room


def _cut(text: str, most: int = MOST_COMMENT_CHARACTERS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
