"""Files of secrets: `NAME=value` lines that a shell can read, for their owner alone."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from supervisor.state_folder import StateFolder


class SecretFile:
    """One such file in the state folder."""

    def __init__(self, folder: StateFolder, name: str) -> None:
        self.path: Final[Path] = folder.path / name
        self._folder: Final = folder

    def read(self) -> dict[str, str]:
        """The values in the file; comments and blank lines do not count."""
        values = {}
        for line in self.path.read_text().splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                values[name] = "".join(shlex.split(value))
        return values

    def write(self, values: Mapping[str, str], about: str) -> None:
        """Put the file there whole or not at all, mode 0600, safe from a power cut."""
        text = "".join(f"# {line}\n" for line in about.splitlines())
        text += "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        draft = self.path.with_name(self.path.name + ".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._folder.give(draft)
        os.replace(draft, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
