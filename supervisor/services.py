"""What the supervisor keeps running, and how it starts again what has ended."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import Signals
from typing import Final, Protocol

from supervisor.errors import StartError
from supervisor.plan import Command
from supervisor.processes import Process, Steps, never_hurried

FIRST_DELAY_SECONDS: Final = 0.1
MOST_DELAY_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 30.0
"""Who has run so long has recovered: the next end counts as a first one."""


class Service(Protocol):
    """One of the four: PostgreSQL, Valkey, the web, the jobs."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def process(self) -> Process | None:
        """Its process, once there is one."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    def start(self) -> None:
        """Start it, at first and after it has ended."""

    def stop(self, hurried: Callable[[], bool] = never_hurried) -> None:
        """End it, and all that it has started."""

    def kill(self) -> None:
        """End it by force."""


class Program:
    """A service that is just a command."""

    def __init__(
        self,
        name: str,
        command: Command,
        environment: Mapping[str, str],
        folder: Path,
        stop: Steps,
        *,
        farewell: Signals,
    ) -> None:
        """`farewell` is the signal that it gets when the supervisor itself is killed."""
        self.name: Final = name
        self._command = command
        self._environment = environment
        self._folder = folder
        self._steps = stop
        self._farewell = farewell
        self._process: Process | None = None

    @property
    def process(self) -> Process | None:
        """Its process, once there is one."""
        return self._process

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """Start it."""
        self._process = Process(
            self._command,
            environment=self._environment,
            folder=self._folder,
            farewell=self._farewell,
        )

    def stop(self, hurried: Callable[[], bool] = never_hurried) -> None:
        """Ask it to end, and see to it."""
        if self._process is not None:
            self._process.stop(self._steps, hurried)

    def kill(self) -> None:
        """End it and its helpers by force."""
        if self._process is not None:
            self._process.kill()


class Keeper:
    """Keeps one service running, with growing patience between the attempts."""

    def __init__(
        self, service: Service, tell: Callable[[str], None], *, most_ends: int | None = None
    ) -> None:
        """`most_ends`: after so many quick ends in a row give up; None never does."""
        self.service: Final = service
        self._tell = tell
        self._most_ends = most_ends
        self._ends = 0
        self._due: float | None = None

    def attend(self) -> float:
        """Start the service again when that is due; the seconds until this matters next."""
        now = time.monotonic()
        process = self.service.process
        if self.service.alive and process is not None:
            if self._ends and now - process.started_at > STEADY_SECONDS:
                self._ends = 0
            return STEADY_SECONDS
        if self._due is None:
            # Its helpers may live on and hold the port.
            self.service.kill()
            self._due = now + self._delay(process)
        if now < self._due:
            return self._due - now
        self._due = None
        try:
            self.service.start()
        except StartError as error:
            self._tell(str(error))
            self.service.kill()
            return 0.0
        self._tell(f"{self.service.name} runs again.")
        return STEADY_SECONDS

    def _delay(self, process: Process | None) -> float:
        self._ends += 1
        how = process.epitaph if process is not None else "never started"
        if self._most_ends is not None and self._ends > self._most_ends:
            raise StartError(
                f"{self.service.name} ended {self._ends} times in a row ({how}); "
                "the reason stands above."
            )
        delay = min(FIRST_DELAY_SECONDS * 2.0 ** (self._ends - 1), MOST_DELAY_SECONDS)
        self._tell(f"{self.service.name} ended ({how}); starting it again in {delay:.1f} s.")
        return delay
