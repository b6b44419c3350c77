"""The commands that make up a server beside its stores."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settings import PROJECT

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run to prepare the database, to serve, and to do the background work."""

    prepare: Command
    web: Command
    jobs: Command
    folder: Path = PROJECT


SERVER: Final = Plan(
    prepare=(sys.executable, "-m", "supervisor.prepare"),
    web=(
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        str(PROJECT / "supervisor" / "gunicorn_conf.py"),
        "app:create_app()",
    ),
    jobs=(sys.executable, "-m", "jobs"),
)
