"""Ends the children of a parent that was killed, where the kernel does not (macOS).

A helper process reads lines from a pipe that only the parent holds open: `+pid signal`
for a child that started, `-pid` for one that ended. When the pipe closes, the parent
is gone, and the helper signals every child that is left.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from signal import Signals

_helper: subprocess.Popen[bytes] | None = None


def start() -> None:
    """Start the helper; children that start from now on are watched."""
    global _helper
    if _helper is None:
        _helper = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


def watch(pid: int, farewell: Signals) -> None:
    """Have `pid` signalled when this process is gone."""
    if sys.platform != "linux":
        start()
    _say(f"+{pid} {int(farewell)}")


def forget(pid: int) -> None:
    """This child has ended; its id may soon belong to another."""
    _say(f"-{pid}")


def _say(line: str) -> None:
    if _helper is not None and _helper.stdin is not None:
        with suppress(OSError):
            _helper.stdin.write(f"{line}\n".encode())
            _helper.stdin.flush()


def main() -> None:
    """Read until the parent is gone, then say farewell to its children."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    children: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            pid, number = line[1:].split()
            children[int(pid)] = int(number)
        else:
            children.pop(int(line[1:]), None)
    for child, number in children.items():
        with suppress(OSError):
            os.kill(child, number)


if __name__ == "__main__":
    main()
