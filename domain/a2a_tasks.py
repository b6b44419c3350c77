"""A session as a task of A2A (`contract/a2a.md` 10)."""

from typing import Final

STATES: Final = {
    "pending": "submitted",
    "claimed": "submitted",
    "running": "working",
    "finalizing": "working",
    "completed": "completed",
    "failed": "failed",
    "stopped": "canceled",
}
"""A session's status -> the state of its task."""

ENDED: Final = frozenset({"completed", "failed", "canceled"})


def statuses_of(state: str) -> list[str]:
    """The statuses of sessions whose tasks are in a state; none for a state that none is in."""
    return [status for status, each in STATES.items() if each == state]
