"""The states an issue goes through, and what a team of the tracker calls them."""

from collections.abc import Mapping
from typing import Final

STATES: Final[Mapping[str, str]] = {
    "icebox": "backlog",
    "backlog": "unstarted",
    "started": "started",
    "finished": "started",
    "delivered": "started",
    "accepted": "completed",
    "rejected": "started",
    "canceled": "canceled",
}
"""Our states, each with the type that the tracker would give it."""

BY_TYPE: Final[Mapping[str, str]] = {
    "triage": "icebox",
    "backlog": "backlog",
    "unstarted": "backlog",
    "started": "started",
    "completed": "accepted",
    "canceled": "canceled",
    "duplicate": "canceled",
}
"""What a state of the tracker is to us, by its type, where its name says nothing."""

KEPT_HERE: Final = "rensei-"
"""How the ids of states begin that a team does not have."""


def ours(name: str, type_: str | None, names: Mapping[str, str]) -> str | None:
    """Our state for a team's: by the project's names, by our own, or by the tracker's type."""
    word = name.strip().lower()
    for state, theirs in names.items():
        if theirs.strip().lower() == word:
            return state
    if word in STATES and word not in names:
        return word
    return BY_TYPE.get(type_ or "")


def named(name: str) -> str | None:
    """Our state of this name, as workers say it; None when there is none."""
    word = name.strip().lower()
    return word if word in STATES else None


def shown(state: str) -> str:
    """The name that workers know a state by, such as `Finished`."""
    return state.capitalize()


def theirs(state: str, team: Mapping[str, tuple[str, str]], names: Mapping[str, str]) -> str | None:
    """The id of a team's state for one of ours; None when the team lacks it.

    `team` are its states, id -> (name, type). The one that the project or our own name names comes
    first; by type only where the type means that state to us.
    """
    wanted = names.get(state, state).strip().lower()
    for state_id, (name, _) in sorted(team.items()):
        if name.strip().lower() == wanted:
            return state_id
    if state in names:
        return None
    for state_id, (name, type_) in sorted(team.items(), key=lambda each: (each[1][1], each[0])):
        if ours(name, type_, names) == state:
            return state_id
    return None
