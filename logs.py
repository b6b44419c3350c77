"""What every process logs: one line of key=value per event, to standard error.

No body and no credential is ever logged.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from structlog.typing import EventDict

NOISY: Final = "psycopg.pool"
"""It says of each connection, several times a second, that the database is away."""

QUIET_SECONDS: Final = 10.0

_ORDER: Final = ["timestamp", "level", "process", "event"]


class Rarely(logging.Filter):
    """Lets one record of each kind pass in ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether nothing of its kind has passed lately."""
        now, kind = self._clock(), str(record.msg)
        if now - self._passed.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        self._passed[kind] = now
        return True


def formatter(process: str, *, at_terminal: bool) -> logging.Formatter:
    """Writes a record as a line of `process`; at a terminal a traceback has lines of its own."""
    as_line = structlog.processors.KeyValueRenderer(key_order=_ORDER)

    def with_process(_: Any, __: str, event: EventDict) -> EventDict:
        event["process"] = f"{process} {os.getpid()}"
        return event

    def render(logger: Any, name: str, event: EventDict) -> str:
        trace = event.pop("exception", None) if at_terminal else None
        line = str(as_line(logger, name, event))
        return f"{line}\n{trace}" if trace else line

    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            with_process,
            structlog.processors.format_exc_info,
        ],
    )


def to_stderr(process: str) -> None:
    """Log the warnings and errors of this process, once however often it is called."""
    root = logging.getLogger()
    ours = structlog.stdlib.ProcessorFormatter
    if any(isinstance(each.formatter, ours) for each in root.handlers):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(process, at_terminal=sys.stderr.isatty()))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(NOISY).addFilter(Rarely())
