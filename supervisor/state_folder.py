"""The state folder: everything that the embedded stores keep, for one server at a time."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from supervisor.errors import FolderInUse, StartError

SCRATCH_PREFIX: Final = "rensei-"

EXPECTED: Final = {"credentials", "lost+found"}
"""What may lie in the folder before its first use: secrets put there, a new file system's own."""


class StateFolder:
    """A folder (0700) with a lock: entering takes it, leaving gives it back.

    `crashed` says that its last holder did not leave it properly.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path.resolve()
        self.crashed = False
        self._lock = -1
        self._scratch: list[Path] = []

    def __enter__(self) -> Self:
        try:
            self._make()
            self._take_lock()
        except OSError as error:
            raise StartError(
                f"The state folder {self.path} cannot be used: {error}. "
                "Set RENSEI_HOME to a folder that can be written."
            ) from error
        self._remove_old_scratch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)
        self._scratch_record.unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def give(self, path: Path) -> None:
        """Let a file made here belong to the folder's owner, when root made it for them."""
        owner = self.path.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid)

    def scratch(self, parents: Iterable[Path]) -> Path:
        """A new private folder below the first of `parents` that can hold one.

        It goes when this folder is left, or, after a crash, when it is next entered.
        """
        for parent in parents:
            with suppress(OSError):
                made = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=parent))
                self._scratch.append(made)
                self._scratch_record.write_text("\n".join(map(str, self._scratch)))
                self.give(self._scratch_record)
                return made
        raise StartError(f"None of {', '.join(map(str, parents))} can hold a temporary folder.")

    @property
    def _scratch_record(self) -> Path:
        return self.path / "scratch"

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise StartError(
                f"The state folder {self.path} belongs to another user "
                f"(uid {self.path.stat().st_uid}). "
                "Set RENSEI_HOME to a folder of your own, or start as that user."
            )
        # A home directory or /tmp named by mistake must not be closed to everybody.
        found = {entry.name for entry in self.path.iterdir()}
        if "lock" not in found and found - EXPECTED:
            raise StartError(
                f"{self.path} holds other files and is no state folder. "
                "Set RENSEI_HOME to a new or empty one."
            )
        # A mounted volume may belong to root and be lent by its group; it stays as it is.
        if os.geteuid() in (0, self.path.stat().st_uid):
            self.path.chmod(0o700)

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._lock, 32).decode().strip() or "unknown"
            os.close(self._lock)
            raise FolderInUse(
                f"Another copy (pid {holder}) already works on the state folder {self.path}. "
                "Stop it, or give this one a RENSEI_HOME and a RENSEI_PORT of its own."
            ) from None
        self.crashed = bool(os.read(self._lock, 32).strip())
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self.give(self.path / "lock")

    def _remove_old_scratch(self) -> None:
        with suppress(FileNotFoundError):
            for line in self._scratch_record.read_text().splitlines():
                # Whatever else the record may say, only what was made above is removed.
                if Path(line).name.startswith(SCRATCH_PREFIX):
                    shutil.rmtree(line, ignore_errors=True)
            self._scratch_record.unlink()
