"""A crew of worker processes on one server, with the means to kill and to stop them."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from demo.ledger import COMPLETED, DELIVERED, JOINED, REFUSED, STOPPED, Line, Reader
from demo.worker import Orders
from settings import PROJECT
from supervisor.parent_death import tie_to_this_process

STOP_SECONDS: Final = 5.0


@dataclass
class Member:
    """One worker process, as its ledger tells of it."""

    name: str
    process: subprocess.Popen[bytes]
    reader: Reader
    worker_id: str = ""
    holding: set[str] = field(default_factory=set)
    done: int = 0
    paused: bool = False
    killed: bool = False

    @property
    def alive(self) -> bool:
        """Whether its process runs, or stands still under SIGSTOP."""
        return self.process.poll() is None

    def read(self) -> list[Line]:
        """Take in what it has noted since the last time."""
        lines = list(self.reader.lines())
        for line in lines:
            if line.what == JOINED:
                self.worker_id = line.worker
            elif line.what == DELIVERED:
                self.holding.add(line.session)
            elif line.what in {COMPLETED, REFUSED, STOPPED}:
                self.holding.discard(line.session)
                self.done += line.what == COMPLETED
        return lines


class Crew:
    """Worker processes that end with this one at the latest."""

    def __init__(
        self, port: int, key: str, folder: Path, *, capacity: int = 2, step_seconds: float = 1.0
    ) -> None:
        self._port: Final = port
        self._key: Final = key
        self._folder: Final = folder
        self._capacity: Final = capacity
        self._step_seconds: Final = step_seconds
        self.members: Final[list[Member]] = []
        """All there ever were."""
        self.lines: Final[list[Line]] = []
        """All they have noted, by `read`."""
        self.kills: Final[Counter[str]] = Counter()

    @property
    def alive(self) -> list[Member]:
        """Those whose process is there."""
        return [each for each in self.members if each.alive]

    def hire(self, count: int = 1) -> None:
        """Start so many more."""
        for _ in range(count):
            name = f"forge-{len(self.members) + 1:02d}"
            ledger = self._folder / f"{name}.jsonl"
            orders = Orders(
                self._port, self._key, name, self._capacity, str(ledger), self._step_seconds
            )
            process = subprocess.Popen(
                [sys.executable, "-m", "demo.worker"],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=tie_to_this_process(signal.SIGKILL),  # noqa: PLW1509
            )
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
            process.stdin.close()
            self.members.append(Member(name, process, Reader(ledger)))

    def read(self) -> list[Line]:
        """What all of them have noted since the last time, oldest first."""
        new = sorted(
            (line for each in self.members for line in each.read()), key=lambda line: line.at
        )
        self.lines.extend(new)
        for line in new:
            if line.what == DELIVERED:
                self._hand_over(line)
        return new

    def _hand_over(self, line: Line) -> None:
        """What one is given, nobody else works on any more, whether he knows it or not."""
        for each in self.members:
            if each.worker_id != line.worker:
                each.holding.discard(line.session)

    def pick(self, chance: random.Random) -> Member | None:
        """One that has joined, is at work and does not stand still."""
        able = [each for each in self.alive if each.worker_id and not each.paused]
        return chance.choice(able) if able else None

    def kill(self, member: Member) -> None:
        """`kill -9`: it says no good-bye, and its sessions wait for the end of their lease."""
        self._signal(member, signal.SIGKILL)
        member.process.wait()
        member.killed = True
        self.kills["killed"] += 1

    def pause(self, member: Member) -> None:
        """SIGSTOP: it stands still and does not know it."""
        self._signal(member, signal.SIGSTOP)
        member.paused = True
        self.kills["paused"] += 1

    def resume(self, member: Member) -> None:
        """SIGCONT."""
        self._signal(member, signal.SIGCONT)
        member.paused = False

    def dismiss(self) -> None:
        """End all of them; each says good-bye, so what it held goes back at once."""
        for each in self.alive:
            self.resume(each)
            self._signal(each, signal.SIGTERM)
        for each in self.members:
            try:
                each.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()

    @staticmethod
    def _signal(member: Member, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(member.process.pid, number)
