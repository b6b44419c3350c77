"""Where the embedded servers live, and as whom.

PostgreSQL refuses to run as root, so a server started by root runs its stores under an
unprivileged uid. That uid may not be able to enter the folders above the state folder
(`/root` is closed to all others), and nothing outside the state folder is ours to change.
So the parent opens the store's own folder while it still may, and the child reaches it
through the descriptor it inherits: `/proc/self/fd/N`. The data thus always lies in the
state folder, wherever that is. The programs cannot be reached that way (PostgreSQL looks
up its own real path), so they are copied to a temporary folder when that uid cannot
execute them where they are.
"""

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Final

from supervisor import binaries
from supervisor.binaries import Binaries
from supervisor.errors import StartError
from supervisor.processes import Account
from supervisor.state_folder import StateFolder

OWN_DESCRIPTORS: Final = Path("/proc/self/fd")
NOBODY: Final = 65534
MOST_LOG_BYTES: Final = 10 * 1024 * 1024
STORES: Final = ("postgres", "valkey")


class Room:
    """The folder of one embedded server, its log, and its socket."""

    def __init__(self, folder: StateFolder, name: str, account: Account | None) -> None:
        self.path: Final = folder.path / name
        self.account: Final = account
        self.log: Final = folder.path / "logs" / f"{name}.log"
        self.sockets = self.path
        self._folder: Final = folder

    def prepare(self) -> None:
        """Make the folders, and hand the server's own to its account."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        # Data that root has restored or copied belongs to root until now.
        if self.account is not None and self.path.stat().st_uid != self.account.uid:
            _hand_over(self.path, self.account)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        self._folder.give(self.log.parent)
        self.trim_log()

    @contextmanager
    def entered(self) -> Iterator[tuple[Path, tuple[int, ...]]]:
        """The folder as a new child can name it, and the descriptors it must inherit."""
        if self.account is None:
            yield self.path, ()
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield OWN_DESCRIPTORS / str(descriptor), (descriptor,)
        finally:
            os.close(descriptor)

    def sockets_from(self, inside: Path) -> Path:
        """The folder of the sockets as the child that entered by `inside` can name it."""
        return inside if self.sockets == self.path else self.sockets

    def give(self, path: Path) -> None:
        """Let a file made here belong to the server's account."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    @contextmanager
    def written_log(self) -> Iterator[IO[bytes]]:
        """The log, open for appending; the child inherits it."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._folder.give(self.log)
        with open(descriptor, "ab") as file:
            yield file

    def trim_log(self) -> None:
        """Set a log that has grown too long aside, once, and begin it anew.

        The server goes on writing at the new end, since it appends.
        """
        if self.log.exists() and self.log.stat().st_size > MOST_LOG_BYTES:
            shutil.copy2(self.log, self.log.with_name(self.log.name + ".1"))
            os.truncate(self.log, 0)

    def last_words(self) -> str:
        """The end of the log, for the message about a failed start."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-8:]
        return "\n".join(f"    {line}" for line in lines)


class Housing:
    """Gives each embedded server its room in the state folder."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder: Final = folder
        self.account: Final = _account(folder.path)

    def room(self, name: str) -> Room:
        """The room of one server, made and handed to its account when needed."""
        room = Room(self.folder, name, self.account)
        room.prepare()
        if not _holds_sockets(room.path):
            room.sockets = self._short_folder
        return room

    @cached_property
    def binaries(self) -> Binaries:
        """The stores' programs, copied when the account cannot execute them where they are."""
        found = binaries.find()
        if found.can_be_run_by(self.account):
            return found
        # A copy must outlive those who tidy up /tmp, and some mount that without `exec`.
        for parent in ("/var/lib", "/var/tmp", tempfile.gettempdir()):
            if _open_to_all(Path(parent)) and os.access(parent, os.W_OK):
                copy = found.copied_to(self.folder.scratch([Path(parent)]))
                if copy.can_be_run_by(self.account):
                    return copy
        assert self.account is not None
        raise StartError(
            f"PostgreSQL does not run as root, and uid {self.account.uid} cannot execute it here. "
            "Start as a normal user, or set DATABASE_URL and REDIS_URL to servers of your own."
        )

    @cached_property
    def _short_folder(self) -> Path:
        candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
        fit = [
            each
            for each in candidates
            if len(os.fsencode(each)) < 60 and (self.account is None or _open_to_all(each))
        ]
        made = self.folder.scratch(fit)
        if self.account is not None:
            os.chown(made, self.account.uid, self.account.gid)
        return made


def _account(folder: Path) -> Account | None:
    """Whose uid the servers take: None leaves them that of this process."""
    if os.geteuid() != 0:
        return None
    if not OWN_DESCRIPTORS.is_dir():
        raise StartError(
            "On this system the embedded stores do not start as root. Start as a normal user, "
            "or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    # Data that is there keeps its owner; a user's own folder stays usable to that user.
    for each in (*(folder / name for name in STORES), folder):
        if each.exists() and each.stat().st_uid != 0:
            return Account(each.stat().st_uid, each.stat().st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(NOBODY, NOBODY)
    return Account(nobody.pw_uid, nobody.pw_gid)


def _hand_over(path: Path, account: Account) -> None:
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), account.uid, account.gid, follow_symlinks=False)
    os.chown(path, account.uid, account.gid)


def _open_to_all(path: Path) -> bool:
    """Whether everybody may enter the folder, and those above it."""
    return path.is_dir() and all(
        each.stat().st_mode & 0o001 for each in (path.resolve(), *path.resolve().parents)
    )


def _holds_sockets(path: Path) -> bool:
    """Whether a socket can be made here: the path may be too long, the file system unable."""
    probe = path / ".s.PGSQL.probe"
    probe.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.bind(os.fspath(probe))
        except OSError:
            return False
        finally:
            probe.unlink(missing_ok=True)
    return True


def wait_until(
    condition: Callable[[], bool],
    *,
    alive: Callable[[], bool],
    seconds: float,
    pause: Callable[[float], None],
) -> bool:
    """Wait for the condition as long as it can still come true; whether it did."""
    step, waited = 0.005, 0.0
    while waited < seconds:
        if condition():
            return True
        if not alive():
            return False
        pause(step)
        waited += step
        step = min(step * 1.3, 0.1)
    return False
