"""What a worker process has seen, written so that `kill -9` loses none of it."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DELIVERED: Final = "delivered"
ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
COMPLETED: Final = "completed"
STOPPED: Final = "stopped"
JOINED: Final = "joined"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened to a worker."""

    at: float
    """Seconds since 1970. For a write: when it was sent; for the rest: when it was known."""
    what: str
    worker: str
    session: str = ""
    epoch: int = 0
    text: str = ""


class Ledger:
    """The file a worker appends to."""

    def __init__(self, path: Path) -> None:
        self._file: Final = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(
        self,
        what: str,
        worker: str,
        session: str = "",
        epoch: int = 0,
        text: str = "",
        at: float | None = None,
    ) -> None:
        """Append a line; one write, so a line is there whole or not at all."""
        line = [time.time() if at is None else at, what, worker, session, epoch, text]
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Reader:
    """Reads on where it stopped the last time."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._offset = 0

    def lines(self) -> Iterator[Line]:
        """The lines that have come since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._offset += len(raw)
                yield Line(*json.loads(raw))
