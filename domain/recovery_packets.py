"""What a worker that was lost leaves to the next one: as data for programs, as text for a model.

Everything in a packet is cut to a size, so that a session of ten thousand steps leaves no more than
one of thirty. The text is one line per fact: what an agent wrote cannot pose as a heading of ours.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

MOST_TEXT_CHARACTERS: Final = 16_000
CHARACTERS_PER_TOKEN: Final = 4
MINIMAL_TOKENS: Final = 400
STANDARD_TOKENS: Final = 2_000

MOST_SUPPLIED_BYTES: Final = 32_768
"""Of what a caller may add to a packet."""

_CONTENT: Final = 600
_DETAIL: Final = 200
_SUPPLIED_LINE: Final = 1_000
_SUPPLIED_LINES: Final = 12

_OPENING: Final = (
    "Another worker was at work on this session and did not finish: {how}. Below is what it "
    "reported. It may have done more than that: look at the branch, the working tree and the links "
    "first, keep what is good, and do no step twice."
)
_HOW: Final = {
    "lease_ended": "its worker fell silent",
    "worker_left": "its worker left the fleet",
    "reported": "somebody reported that it was interrupted",
}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, before it has an id."""

    data: dict[str, Any]
    text: str
    tier: str
    token_estimate: int

    @property
    def json(self) -> str:
        """The data as it is stored and hashed: members in order, no white space."""
        return canonical(self.data).decode()

    @property
    def content_hash(self) -> bytes:
        return hashlib.sha256(canonical(self.data)).digest()


def canonical(data: Any) -> bytes:
    """One form for equal data."""
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def build(facts: Mapping[str, Any], supplied: Mapping[str, Any]) -> Packet:
    """A packet of what is known about a session and what a caller adds.

    In the data the caller's word stands where both say something; `previous` is ours alone. The
    text tells both.
    """
    data = {**facts, **supplied, "previous": facts.get("previous")}
    text = _text(facts, supplied)
    tokens = -(-len(text) // CHARACTERS_PER_TOKEN)
    tier = "full"
    if tokens <= STANDARD_TOKENS:
        tier = "minimal" if tokens <= MINIMAL_TOKENS else "standard"
    return Packet(data, text, tier, tokens)


def _text(facts: Mapping[str, Any], supplied: Mapping[str, Any]) -> str:
    parts = [
        "# This session was interrupted: go on from here",
        _introduction(facts),
        *_section("What was reported with the interruption", _told(supplied)),
        *_section("What people said meanwhile, oldest first", _said(facts)),
        *_section("What it concluded", _one(facts.get("completion"), 2_000)),
        *_section("Milestones, oldest first", _milestones(facts)),
        *_section("Files it had reserved", _files(facts)),
        *_section("Tools that failed", _tool_errors(facts)),
    ]
    text = "\n\n".join(parts)
    heading = "\n\n## Its last steps, oldest first\n"
    steps = _steps(facts, MOST_TEXT_CHARACTERS - len(text) - len(heading))
    return text + heading + "\n".join(steps) if steps else text


def _introduction(facts: Mapping[str, Any]) -> str:
    lines = [_OPENING.format(how=_HOW[facts["reason"]]), ""]
    issue = ", ".join(
        _line(facts[name], 300) for name in ("issueIdentifier", "issueTitle") if facts.get(name)
    )
    spent = facts.get("costs", {})
    known = {
        "Issue": issue,
        "Work type": facts.get("workType"),
        "Status when it was interrupted": facts.get("status"),
        "Workers lost so far": f"{facts['attempts']} of at most {facts['mostAttempts']}"
        if facts.get("attempts")
        else None,
        "Last heard of": facts.get("lastCallAt"),
        "Repository": facts.get("repository"),
        "Branch": facts.get("branch"),
        "Working tree of that worker": _tree(facts),
        "Spent so far": ", ".join(
            f"{spent[name]} {unit}"
            for name, unit in (
                ("totalCostUsd", "USD"),
                ("inputTokens", "input tokens"),
                ("outputTokens", "output tokens"),
            )
            if name in spent
        ),
    }
    lines += [f"- {name}: {_line(value, 300)}" for name, value in known.items() if value]
    for link in facts.get("externalUrls", [])[:5]:
        lines.append(f"- {_line(link['label'], 60)}: {_line(link['url'], 300)}")
    return "\n".join(lines)


def _tree(facts: Mapping[str, Any]) -> str | None:
    if not facts.get("worktreePath"):
        return None
    host = facts.get("crash", {}).get("hostname")
    return f"{facts['worktreePath']}{f' on {host}' if host else ''}"


def _section(heading: str, lines: Iterator[str]) -> list[str]:
    found = list(lines)
    return ["\n".join([f"## {heading}", *found])] if found else []


def _told(supplied: Mapping[str, Any]) -> Iterator[str]:
    for name, value in list(supplied.items())[:_SUPPLIED_LINES]:
        said = value if isinstance(value, str) else canonical(value).decode()
        if said:
            most = _SUPPLIED_LINE if name in {"error", "summary"} else _DETAIL
            yield f"- {_line(name, 60)}: {_line(said, most)}"


def _said(facts: Mapping[str, Any]) -> Iterator[str]:
    for message in facts.get("messages", []):
        yield f"- {_line(message.get('from') or 'somebody', 60)}: {_line(message['text'], 800)}"


def _one(text: str | None, most: int) -> Iterator[str]:
    if text:
        yield _line(text, most)


def _milestones(facts: Mapping[str, Any]) -> Iterator[str]:
    for each in facts.get("progress", []):
        name = f"{_line(each['milestone'], 60)}: " if each.get("milestone") else ""
        yield f"- {name}{_line(each.get('content', ''), _DETAIL)}"


def _files(facts: Mapping[str, Any]) -> Iterator[str]:
    for each in facts.get("files", [])[:20]:
        yield f"- {_line(each['filePath'], _DETAIL)}"


def _tool_errors(facts: Mapping[str, Any]) -> Iterator[str]:
    for each in facts.get("toolErrors", []):
        yield f"- {_line(each['toolName'], 60)}: {_line(each['errorMessage'], _DETAIL)}"


def _steps(facts: Mapping[str, Any], room: int) -> list[str]:
    """As many of the last steps as there is room for, the oldest of them first."""
    steps: list[str] = []
    for each in reversed(facts.get("activities", [])):
        step = _step(each)
        room -= len(step) + 1
        if room < 0:
            break
        steps.append(step)
    return steps[::-1]


def _step(activity: Mapping[str, Any]) -> str:
    tool = f" {_line(activity['toolName'], 60)}" if activity.get("toolName") else ""
    said = _line(activity.get("content", ""), _CONTENT)
    parts = [f"{activity['seq']}. {activity['type']}{tool}: {said}"]
    parts += [
        f"   {name}: {_line(activity[name], _DETAIL)}"
        for name in ("input", "output")
        if activity.get(name)
    ]
    return "\n".join(parts)


def _line(value: Any, most: int) -> str:
    """A value on one line, cut to a length."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def without_nothing(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that say something."""
    empty: Sequence[Any] = (None, "", [], {})
    return {name: value for name, value in members.items() if value not in empty}
