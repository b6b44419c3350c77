"""What a worker's report may do to a session's status.

The order `claimed`, `running`, `finalizing`, then an end, with the short cuts that real clients
take: one never reports `finalizing`, and its report of `running` may be lost.
"""

from enum import Enum
from typing import Final

from domain.errors import Conflict

ENDED: Final = frozenset({"completed", "failed", "stopped"})
HELD: Final = frozenset({"claimed", "running", "finalizing"})

NEXT: Final[dict[str, frozenset[str]]] = {
    "claimed": frozenset({"running"}) | ENDED,
    "running": frozenset({"finalizing"}) | ENDED,
    "finalizing": ENDED,
}


class Step(Enum):
    """What to do with a report."""

    MOVE = "store the new status and what follows from it"
    REPEAT = "the status is stored already: store what came with it, do nothing twice"
    AFTER_STOP = "the session stays stopped: keep the cost, free the slot"


def step(present: str, reported: str) -> Step:
    """Decide a report; raises `Conflict` for a step that the states do not have."""
    if present == "stopped" and (reported == "finalizing" or reported in ENDED):
        return Step.AFTER_STOP
    if present == reported:
        return Step.REPEAT
    if reported in NEXT.get(present, ()):
        return Step.MOVE
    raise Conflict(f"Session is {present} and cannot become {reported}")


def public_status(status: str, waits_for: str | None = None) -> str:
    """The status as people see it (`contract/sessions-public.md` 0.3)."""
    if status in HELD:
        return "working"
    if status == "pending":
        return "queued" if waits_for is None else "parked"
    return status


def pending_reason(status: str, waits_for: str | None) -> str | None:
    """Why a pending session is not handed out; None while it is in the queue."""
    if status != "pending" or waits_for is None:
        return None
    if waits_for == "issue":
        return "another session of the issue is at work"
    return "workers gave it back twenty times; send a prompt or stop it"
