"""Servers whose stores are real and whose own parts are stand-ins."""

# psutil brings no types.
# mypy: disable-error-code="import-untyped"

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from settings import PROJECT

READY = "Rensei server is ready"


def eventually(condition: Callable[[], object], seconds: float = 15.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One supervisor and everything below it."""

    def __init__(self, folder: Path, prefix: list[str], **environment: str) -> None:
        given_port = environment.get("RENSEI_PORT", "")
        self.port = int(given_port) if given_port.isdigit() else free_port()
        self.home = Path(environment.get("RENSEI_HOME", folder / "home"))
        self.journal = folder / "journal"
        self._mark = f"test-{uuid.uuid4()}"
        self._output = folder / f"output-{self._mark}"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RENSEI_", "WEBHOOK_")) and not name.endswith("_URL")
        }
        given = {
            "RENSEI_HOME": str(self.home),
            # A stand-in needs nothing of the code that the web processes share.
            "RENSEI_LOADS_ONCE": "no",
            "RENSEI_PORT": str(self.port),
            "RENSEI_WORKERS": "1",
            "JOURNAL": str(self.journal),
            "MARK": self._mark,
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "tests.supervisor.stand_ins.server"],
                cwd=PROJECT,
                env=inherited | given | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def notes(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def starts(self) -> list[int]:
        """The numbers of the starts that the data knows of, as each start found them."""
        return [int(note.split()[2]) for note in self.notes if note.startswith("prepared start")]

    def ready(self) -> "Server":
        assert eventually(lambda: READY in self.output or self.process.poll() is not None, 60)
        assert READY in self.output, self.output
        return self

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    def healthy(self) -> bool:
        try:
            return self.get("/stores") == "both"
        except OSError:
            return False

    def ends(self, *signals: int) -> int:
        """Send the signals, a moment apart, and wait for the exit code."""
        for later, number in enumerate(signals):
            time.sleep(0.3 if later else 0)
            self.process.send_signal(number)
        return self.process.wait(30)

    def credentials(self) -> dict[str, str]:
        lines = (self.home / "credentials").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def processes(self) -> list[psutil.Process]:
        """All that belong to it, by their environment or by where they work.

        PostgreSQL's helpers overwrite their environment, but they stay in the data folder.
        """
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                environment = process.environ()
                there = Path(process.cwd())
                if environment.get("MARK") == self._mark or there.is_relative_to(
                    self.home.resolve()
                ):
                    found.append(process)
        return found

    def having(self, *words: str) -> list[psutil.Process]:
        """Its processes, but for the first, whose command holds all these words."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):  # it may end while it is looked at
                command = " ".join(process.cmdline())
                if all(word in command for word in words) and process.pid != self.process.pid:
                    found.append(process)
        return found

    def one(self, *words: str) -> psutil.Process:
        """The oldest of these."""
        return min(self.having(*words), key=lambda process: process.create_time())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


Launch = Callable[..., Server]
