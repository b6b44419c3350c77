"""What a person sees of the demo: the fleet, the newest sessions, and what happened last."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.crew import Crew, Member
from demo.ledger import COMPLETED, DELIVERED, REFUSED, STOPPED, Line

NEWEST: Final = 10
REMEMBERED: Final = 8
SECONDS_A_BAR: Final = 60.0

COLOURS: Final = {
    "queued": "yellow",
    "parked": "yellow",
    "claimed": "cyan",
    "working": "cyan",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "stopped": "magenta",
}


@dataclass
class Picture:
    """All that the view shows, kept up to date by whoever runs the demo."""

    address: str
    crew: Crew
    sent: int = 0
    completed_before: int = 0
    """What the server said of it when the demo began."""
    stats: dict[str, Any] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    trouble: str = ""
    """What keeps the server from answering; empty when it answers."""
    happened: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    completions: deque[float] = field(default_factory=deque)

    def note(self, text: str) -> None:
        """Something that people should read."""
        self.happened.append((time.time(), text))

    def take(self, lines: list[Line]) -> None:
        """Take in what the workers have noted."""
        for line in lines:
            if line.what == COMPLETED:
                self.completions.append(line.at)
            elif line.what == DELIVERED and line.epoch > 1:
                self.note(f"{line.session} is taken up again (lease {line.epoch})")
            elif line.what == REFUSED:
                self.note(f"{line.session}: a late report was refused ({line.text[:48]})")
            elif line.what == STOPPED:
                self.note(f"{line.session} was stopped by a person")

    @property
    def completed(self) -> int:
        """How many sessions have been completed, as the server says: a worker that is killed the
        moment after its last report cannot."""
        return int(self.stats.get("completedToday", 0)) - self.completed_before

    def per_minute(self) -> int:
        """Completions of the last minute."""
        since = time.time() - SECONDS_A_BAR
        return sum(at >= since for at in self.completions)

    def line(self) -> str:
        """The picture in one line, for a log."""
        stats = self.stats
        return (
            f"sent {self.sent}  queued {stats.get('queueDepth', '?')}"
            f"  working {stats.get('agentsWorking', '?')}  completed {self.completed}"
            f"  workers {len(self.crew.alive)}  killed {self.crew.kills['killed']}"
            f"  paused {self.crew.kills['paused']}"
            + (f"  ({self.trouble})" if self.trouble else "")
        )

    def render(self, *, keys: bool) -> RenderableType:
        """The picture as a terminal shows it."""
        parts: list[RenderableType] = [self._head(), self._workers(), self._sessions(), self._log()]
        if keys:
            parts.append(
                Text(
                    " k kill -9 a worker   p pause one for a while   h hire one   "
                    "b a burst of 20 sessions   q quit",
                    style="dim",
                )
            )
        return Group(*parts)

    def _head(self) -> RenderableType:
        if self.trouble:
            return Panel(Text(self.trouble, style="red"), title=self.address)
        stats, text = self.stats, Text()
        for name, value, colour in (
            ("sent", self.sent, "white"),
            ("queued", stats.get("queueDepth", "…"), "yellow"),
            ("working", stats.get("agentsWorking", "…"), "cyan"),
            ("completed", self.completed, "green"),
            ("a minute", self.per_minute(), "green"),
            ("workers", stats.get("workersOnline", "…"), "white"),
            ("killed", self.crew.kills["killed"], "red"),
        ):
            text.append(f" {value}", style=f"bold {colour}").append(f" {name}  ", style="dim")
        return Panel(text, title=f"Rensei demo on {self.address}")

    def _workers(self) -> RenderableType:
        table = Table(expand=True, box=None, header_style="dim")
        for name in ("worker", "pid", "state", "works on", "done"):
            table.add_column(name, no_wrap=True)
        shown = [each for each in self.crew.members if each.alive or each.holding]
        for each in shown[-12:]:
            state, colour = _state(each)
            table.add_row(
                each.name,
                str(each.process.pid),
                Text(state, style=colour),
                ", ".join(sorted(each.holding)) or "-",
                str(each.done),
            )
        return Panel(table, title="fleet")

    def _sessions(self) -> RenderableType:
        table = Table(expand=True, box=None, header_style="dim")
        for name in ("issue", "work", "status", "for", "cost"):
            table.add_column(name, no_wrap=True)
        for each in self.sessions[:NEWEST]:
            cost = each.get("costUsd") or 0
            table.add_row(
                each["identifier"],
                each["workType"],
                Text(each["status"], style=COLOURS.get(each["status"], "white")),
                f"{each['duration']} s",
                f"${cost:.2f}",
            )
        return Panel(table, title="newest sessions, as the public API tells")

    def _log(self) -> RenderableType:
        rows = [
            f"{time.strftime('%H:%M:%S', time.localtime(at))}  {text}" for at, text in self.happened
        ]
        return Panel(Text("\n".join(rows) or "nothing unusual yet"), title="what happened")


def _state(member: Member) -> tuple[str, str]:
    if member.killed or not member.alive:
        return "killed: its lease runs out", "red"
    if member.paused:
        return "stands still (SIGSTOP)", "yellow"
    return ("works", "green") if member.holding else ("waits", "dim")
