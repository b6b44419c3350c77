"""Which work a change of an issue's state starts, and where a session's result moves its issue."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

REOPENED_FROM: Final = frozenset({"icebox", "rejected", "canceled"})
STARTS: Final[Mapping[str, str]] = {
    "backlog": "development",
    "finished": "qa",
    "delivered": "acceptance",
    "rejected": "refinement",
}
"""The state an issue has come to -> the work that is next."""

CLOSED: Final = frozenset({"accepted", "canceled"})
NOT_FOR_SUB_ISSUES: Final = frozenset({"qa", "acceptance"})

PASSED: Final[Mapping[str, str]] = {
    "development": "finished",
    "inflight": "finished",
    "security": "finished",
    "qa": "delivered",
    "acceptance": "accepted",
    "refinement": "backlog",
}
FAILED: Final[Mapping[str, str]] = {"qa": "rejected", "acceptance": "rejected"}

# A result says how far its session has brought the issue; who has moved it further meanwhile, or
# has closed it, is not overruled.
NOT_FROM: Final[Mapping[str, frozenset[str]]] = {
    "finished": frozenset({"finished", "delivered", "accepted", "canceled"}),
    "delivered": frozenset({"delivered", "accepted", "rejected", "canceled"}),
    "accepted": frozenset({"accepted", "rejected", "canceled"}),
    "rejected": frozenset({"rejected", "accepted", "canceled"}),
    "backlog": frozenset({"backlog", "finished", "delivered", "accepted", "canceled"}),
}

_MARKER: Final = re.compile(r"\bWORK_RESULT:\s*(passed|failed)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a project has switched on, and its limits."""

    automatic: frozenset[str]
    """Kinds of work that start by themselves."""
    disabled: frozenset[str]
    excluded_labels: frozenset[str]
    tries: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Past:
    """The sessions that an issue has had, by kind of work; none that nobody ever took up."""

    by_work_type: Mapping[str, int]
    was_worked_on: bool
    deployment_failed: bool = False
    """Whether the last deployment of what the sessions made has failed."""


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a move: work, or a question to a person, or nothing."""

    work_type: str | None = None
    question: str | None = None
    why: str = ""


def next_work(
    before: str | None,
    after: str,
    labels: Collection[str],
    *,
    is_child: bool,
    rules: Rules,
    past: Past,
) -> Next:
    """What follows when an issue has moved from one of our states to another."""
    work_type = STARTS.get(after)
    if work_type is None or before == after:
        return Next(why="no work starts in this state")
    if work_type == "development" and before not in REOPENED_FROM:
        return Next(why="development starts by itself only for what is opened anew")
    if work_type not in rules.automatic or work_type in rules.disabled:
        return Next(why=f"{work_type} does not start by itself in this project")
    if excluded := sorted(
        {each.strip().lower() for each in labels}
        & {each.strip().lower() for each in rules.excluded_labels}
    ):
        return Next(why=f"the label {excluded[0]} keeps agents away")
    if is_child and work_type in NOT_FOR_SUB_ISSUES:
        return Next(why=f"{work_type} is for the parent issue")
    if work_type == "qa" and not past.was_worked_on:
        return Next(why="no agent has worked on the issue")
    if work_type == "qa" and past.deployment_failed:
        return Next(why="the last deployment has failed")
    tries = past.by_work_type.get(work_type, 0)
    if tries >= rules.tries:
        return Next(question=f"{work_type} was tried {tries} times")
    count = sum(past.by_work_type.values())
    if count >= rules.sessions:
        return Next(question=f"the issue has had {count} sessions")
    return Next(work_type=work_type, why=f"{work_type} starts")


def question(reason: str, work_type: str) -> str:
    """The comment that asks a person, since trying again would not help."""
    return (
        f"Agents have stopped here: {reason}. Please look at what they reported, then move "
        f"the issue or assign it to the agent; no {work_type} starts by itself any more."
    )


def result(text: str) -> str | None:
    """`passed` or `failed`, as the last marker in a session's concluding text says."""
    found = _MARKER.findall(text)
    return found[-1].lower() if found else None


def concluded(work_type: str, outcome: str, state: str | None) -> str | None:
    """Where a completed session's result moves its issue; None when it stays where it is."""
    target = (PASSED if outcome == "passed" else FAILED).get(work_type)
    if target is None or state in NOT_FROM[target]:
        return None
    return target


def begun(work_type: str, state: str | None) -> str | None:
    """Where an issue moves when work on it begins."""
    closed = {"started", "accepted", "canceled"}
    return "started" if work_type == "development" and state not in closed else None
