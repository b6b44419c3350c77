"""Signals, as something that a loop can wait for."""

import os
import select
import signal
import time
from types import FrameType, TracebackType
from typing import Any, Final, Self

from supervisor.errors import Stopped

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Bell:
    """Rings when a child ends or somebody asks to stop; counts the askings."""

    def __init__(self) -> None:
        self.requests = 0
        self._before: dict[int, Any] = {}
        self._hear, self._ring = os.pipe()
        for end in (self._hear, self._ring):
            os.set_blocking(end, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        for number in ENDING:
            # Under nohup a closed terminal is to change nothing.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._asked)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._noticed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._hear)
        os.close(self._ring)

    def hurried(self) -> bool:
        """Whether somebody has asked more than once."""
        return self.requests > 1

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal arrives."""
        if select.select([self._hear], [], [], max(seconds, 0))[0]:
            os.read(self._hear, 4096)

    def pause(self, seconds: float) -> None:
        """Wait so long; `Stopped` as soon as somebody asks to stop."""
        deadline = time.monotonic() + seconds
        while not self.requests and (left := deadline - time.monotonic()) > 0:
            self.wait(left)
        if self.requests:
            raise Stopped

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self.requests += 1

    def _noticed(self, number: int, frame: FrameType | None) -> None:
        """Having a handler at all is what makes the bell ring."""
