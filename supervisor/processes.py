"""Child processes: how they start, how they end, and finding those that were left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import IO, Final

from supervisor import watchdog
from supervisor.errors import StartError
from supervisor.parent_death import tie_to_this_process

POLL_SECONDS: Final = 0.01
HURRIED_SECONDS: Final = 0.5
"""How long each step of a stop may take once somebody has asked twice."""

Pause = Callable[[float], None]
"""Waits that many seconds, or less; the supervisor's raises `Stopped` when asked to stop."""

Steps = Sequence[tuple[Signals, float]]
"""Signals to send in turn, each with the seconds its effect may take."""


def never_hurried() -> bool:
    """Nobody asks twice where nobody is at a terminal."""
    return False


@dataclass(frozen=True, slots=True)
class Account:
    """The uid and gid that a child runs under."""

    uid: int
    gid: int


def bare_environment() -> dict[str, str]:
    """What a store needs to know: no secret, and no locale that the machine may lack."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


class Process:
    """A running child in a session of its own, so that Ctrl-C reaches only its parent.

    It ends when its parent does: on Linux the kernel sees to that, elsewhere the
    watchdog. The kernel watches the *thread* that started it, so start children
    from a thread that lives as long as they should.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        account: Account | None = None,
        output: IO[bytes] | None = None,
        folder: Path | str | None = None,
        keep_open: Iterable[int] = (),
        farewell: Signals = signal.SIGTERM,
    ) -> None:
        """Start it; `farewell` is the signal that it gets when its parent dies."""
        try:
            self._popen = subprocess.Popen(
                [os.fspath(part) for part in command],
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                pass_fds=tuple(keep_open),
                start_new_session=True,
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
                # Safe here: it calls nothing but prctl and getppid, and takes no lock.
                preexec_fn=tie_to_this_process(farewell),  # noqa: PLW1509
            )
        except (OSError, subprocess.SubprocessError) as error:
            who = "" if account is None else f" as uid {account.uid}"
            raise StartError(f"{command[0]} cannot be started{who}: {error}") from error
        self.started_at = time.monotonic()
        self._buried = False
        watchdog.watch(self.pid, farewell)

    @property
    def pid(self) -> int:
        """The process id of the child itself, which is also that of its group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        code = self._popen.poll()
        if code is not None:
            watchdog.forget(self.pid)
        return code

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.exit_code is None

    @property
    def epitaph(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        if code is None:
            return "still running"
        return f"killed by {Signals(-code).name}" if code < 0 else f"exit code {code}"

    def signal(self, number: Signals) -> None:
        """Send a signal; one that has ended already does not mind."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float, hurried: Callable[[], bool] = never_hurried) -> bool:
        """Wait until it has ended, at most so long; whether it has."""
        begun = time.monotonic()
        while self.alive:
            passed = time.monotonic() - begun
            if passed > (min(seconds, HURRIED_SECONDS) if hurried() else seconds):
                return False
            time.sleep(POLL_SECONDS)
        return True

    def stop(self, steps: Steps, hurried: Callable[[], bool] = never_hurried) -> None:
        """End it and its group: politely first, then by force."""
        for number, seconds in steps:
            self.signal(number)
            if self.wait(seconds, hurried):
                break
        self.kill()

    def kill(self) -> None:
        """End what is left of it and of its group by force; a second time does nothing.

        Later the number of the group may belong to others.
        """
        if self._buried:
            return
        self._buried = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        watchdog.forget(self.pid)


def working_in(folder: Path) -> list[int]:
    """The processes whose working directory is `folder`.

    A database server stays in its data folder, and so do all its helpers. So this
    finds a server that was left behind, and no other process whose id happens to be
    the one in an old pid file. Only Linux tells; elsewhere the list is empty.
    """
    if sys.platform != "linux" or not folder.is_dir():
        return []
    here = folder.stat()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            there = os.stat(f"/proc/{entry}/cwd")
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                found.append(int(entry))
    return [pid for pid in found if pid != os.getpid()]


def end_all_in(folder: Path, steps: Steps, leader: int | None = None) -> None:
    """End every process that works in `folder`: `leader` (or all) politely, then all by force."""
    for number, seconds in (*steps, (signal.SIGKILL, 5.0)):
        left = working_in(folder)
        polite = number != signal.SIGKILL
        for pid in (leader,) if leader is not None and leader in left and polite else left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            left = working_in(folder)
        if not left:
            return
    raise StartError(
        f"Processes {working_in(folder)} still work in {folder} and do not end. "
        "End them and start again."
    )
