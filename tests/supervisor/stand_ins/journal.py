"""One line per event, from whichever process, in the file the test names."""

import os
from pathlib import Path


def note(line: str) -> None:
    """Append a line; short appends of several processes do not mix."""
    with Path(os.environ["JOURNAL"]).open("a") as file:
        file.write(line + "\n")
