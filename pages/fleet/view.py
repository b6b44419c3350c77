"""What the parts of the fleet page show, from what was read for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.session_health import Observed, health
from domain.session_states import ENDED, HELD, pending_reason, public_status
from pages.fleet.charts import Chart, Span, throughput, waits

SIGNALS: Final[Mapping[str, str]] = {
    "LongRunning": "runs for long",
    "StaleHeartbeat": "its worker is silent",
    "ToolLoopStuck": "calls one tool over and over",
    "ClaimStuck": "claimed and not begun",
}

CELL: Final = 10
CELLS_A_ROW: Final = 50
CELL_GAP: Final = 2
CELL_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "f": ("full", "full"),
    "b": ("busy", "at work"),
    "i": ("idle", "idle"),
    "c": ("closed", "no new work"),
    "s": ("silent", "silent"),
}


@dataclass(frozen=True, slots=True)
class Worker:
    """A row of the workers."""

    id: str
    name: str
    about: str
    held: int
    capacity: int
    state: str
    beat_seconds: float
    lease_share: float


@dataclass(frozen=True, slots=True)
class Cells:
    """All workers as little squares: one path for each kind."""

    width: int
    height: int
    paths: tuple[tuple[str, str, int, str], ...]

    @property
    def says(self) -> str:
        """The map in words."""
        return "Workers: " + ", ".join(f"{count} {word}" for _, word, count, _ in self.paths)


@dataclass(frozen=True, slots=True)
class Session:
    """A row of the sessions."""

    id: str
    identifier: str
    title: str
    work_type: str
    state: str
    note: str
    health: str
    worker: str
    since_seconds: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class State:
    """A state, how many sessions are in it, and what they cost so far."""

    name: str
    count: int
    cost: float | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Charts:
    """Both charts of a span."""

    span: Span
    throughput: Chart
    waits: Chart


@dataclass
class Shown:
    """All that the templates may need; what was not read is empty."""

    who: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)
    rows: list[Worker] = field(default_factory=list)
    cells: Cells | None = None
    queue: dict[str, Any] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    sums: dict[str, Any] = field(default_factory=dict)
    ended: dict[str, tuple[int, float]] = field(default_factory=dict)
    charts: Charts | None = None
    feed: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    webhooks: dict[str, Any] = field(default_factory=dict)
    audit: Any = None


def shown(read: Mapping[str, Any], span: Span, lease_seconds: float) -> Shown:
    """The parts that were read, ready to be shown."""
    found = Shown(who=read.get("who") or {})
    if workers := read.get("workers"):
        found.workers = workers
        found.rows = [_worker(row, lease_seconds) for row in workers["rows"] or ()]
        found.cells = _cells(workers["cells"])
    found.queue = read.get("queue") or {}
    if sums := read.get("states"):
        found.sums = sums
        found.ended = {name: (row[0], row[1]) for name, row in (sums["ended"] or {}).items()}
    if found.queue and found.sums:
        found.states = _states(found.queue, found.sums, found.ended)
    if charts := read.get("charts"):
        now = charts["now"]
        found.charts = Charts(
            span,
            throughput(span, now, charts["ended"] or ()),
            waits(span, now, charts["waits"] or ()),
        )
    found.feed = read.get("feed") or []
    found.sessions = [_session(row) for row in read.get("sessions") or ()]
    found.webhooks = read.get("webhooks") or {}
    return found


def _worker(row: Mapping[str, Any], lease_seconds: float) -> Worker:
    about = " · ".join(text for text in (row["project"], row["region"], row["version"]) if text)
    if not row["alive"]:
        state = "silent"
    elif row["closed"]:
        state = "no new work"
    else:
        state = "alive"
    return Worker(
        row["id"],
        row["hostname"],
        about,
        row["held"],
        row["capacity"],
        state,
        row["beat_seconds"],
        min(1.0, row["beat_seconds"] / lease_seconds),
    )


def _cells(letters: str) -> Cells | None:
    if not letters:
        return None
    side = CELL - CELL_GAP
    paths = []
    for letter, (kind, word) in CELL_KINDS.items():
        places = [place for place, each in enumerate(letters) if each == letter]
        drawn = "".join(
            f"M{place % CELLS_A_ROW * CELL} {place // CELLS_A_ROW * CELL}h{side}v{side}h-{side}z"
            for place in places
        )
        if places:
            paths.append((kind, word, len(places), drawn))
    rows = -(-len(letters) // CELLS_A_ROW)
    return Cells(CELLS_A_ROW * CELL, rows * CELL, tuple(paths))


def _states(
    queue: Mapping[str, Any], sums: Mapping[str, Any], ended: Mapping[str, tuple[int, float]]
) -> list[State]:
    working, cost = sums["working"]
    return [
        State("working", working, cost),
        State("queued", queue["depth"]),
        State("parked", queue["behind"] + queue["person"]),
        *(
            State(name, *ended.get(name, (0, 0.0)), more=sums["more"])
            for name in ("completed", "failed", "stopped")
        ),
    ]


def _session(row: Mapping[str, Any]) -> Session:
    times = {
        name: None if row[name] is None else datetime.fromisoformat(row[name])
        for name in (
            "now",
            "queued_at",
            "claimed_at",
            "finished_at",
            "last_tool_called_at",
            "last_heartbeat_at",
        )
    }
    return session(row, times)


def session(row: Mapping[str, Any], times: Mapping[str, datetime | None]) -> Session:
    """A session in one line."""
    now = times["now"]
    if now is None:
        raise ValueError("a session is read with its moment")
    seen = health(
        Observed(
            row["status"],
            times["claimed_at"],
            times["last_heartbeat_at"],
            times["last_tool_called_at"],
            row["tool_call_count"],
        ),
        now,
    )
    if row["status"] in ENDED:
        since = times["finished_at"]
    elif row["status"] in HELD:
        since = times["claimed_at"]
    else:
        since = times["queued_at"]
    note = pending_reason(row["status"], row["waits_for"]) or (
        row["failure_reason"] if row["status"] == "failed" else None
    )
    return Session(
        id=row["public_id"],
        identifier=row["issue_identifier"] or "No issue",
        title=row["issue_title"] or "",
        work_type=row["work_type"],
        state=public_status(row["status"], row["waits_for"]),
        note=note or ", ".join(_words(seen["signals"])),
        health=seen["status"],
        worker=row["hostname"] or "",
        since_seconds=0.0 if since is None else (now - since).total_seconds(),
        cost=row["total_cost_usd"],
    )


def _words(signals: Sequence[str]) -> list[str]:
    return [SIGNALS.get(each, each) for each in signals]
