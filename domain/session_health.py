"""Whether a session looks stuck: four signals, one colour.

Thresholds and colours: `contract/sessions-public.md` section 1.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from domain.session_states import HELD

LONG_RUNNING: Final = timedelta(minutes=45)
STALE_HEARTBEAT: Final = timedelta(seconds=90)
CLAIM_STUCK: Final = timedelta(minutes=5)
TOOL_LOOP: Final = timedelta(minutes=10)
MILD: Final = frozenset({"LongRunning", "StaleHeartbeat"})


@dataclass(frozen=True, slots=True)
class Observed:
    """What the signals are read from."""

    status: str
    claimed_at: datetime | None
    last_heartbeat_at: datetime | None
    tool_since: datetime | None = None  # since when the same tool is called in a row
    tool_calls: int = 0


def health(seen: Observed, now: datetime) -> dict[str, Any]:
    """The `SessionHealth` of the contract."""
    if seen.status not in HELD:
        return {"status": "green", "signals": []}
    over: dict[str, timedelta] = {}
    if seen.status in {"running", "finalizing"}:
        over["LongRunning"] = _age(seen.claimed_at, now) - LONG_RUNNING
    if seen.status in {"claimed", "running", "finalizing"}:
        over["StaleHeartbeat"] = _age(seen.last_heartbeat_at, now) - STALE_HEARTBEAT
    if seen.status == "running" and seen.tool_calls > 1:
        over["ToolLoopStuck"] = _age(seen.tool_since, now) - TOOL_LOOP
    if seen.status == "claimed":
        over["ClaimStuck"] = _age(seen.claimed_at, now) - CLAIM_STUCK
    signals = {name: excess for name, excess in over.items() if excess > timedelta(0)}
    if not signals:
        return {"status": "green", "signals": []}
    return {
        "status": "yellow" if set(signals) <= MILD else "red",
        "signals": list(signals),
        "stuckDurationMs": max(signals.values()) // timedelta(milliseconds=1),
    }


def _age(since: datetime | None, now: datetime) -> timedelta:
    return timedelta(0) if since is None else now - since
