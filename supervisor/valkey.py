"""The embedded Valkey: quick, on a socket alone, its data in the state folder."""

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM
from typing import Final
from urllib.parse import quote

from supervisor.binaries import Binaries
from supervisor.errors import StartError
from supervisor.housing import Room, wait_until
from supervisor.processes import (
    Pause,
    Process,
    Steps,
    bare_environment,
    end_all_in,
    never_hurried,
)

START_SECONDS: Final = 300.0
STOP: Final[Steps] = ((SIGTERM, 5.0),)
APPENDED: Final = "appendonlydir"


class Valkey:
    """Starts, stops and restarts the server, and knows its URL."""

    name = "Valkey"

    def __init__(
        self,
        room: Room,
        binaries: Binaries,
        *,
        durable: bool = True,
        pause: Pause = time.sleep,
    ) -> None:
        self.room: Final = room
        self._binaries = binaries
        self._durable = durable
        self._pause = pause
        self._process: Process | None = None

    @property
    def process(self) -> Process | None:
        """The server's process, once there is one."""
        return self._process

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.alive

    @property
    def socket(self) -> Path:
        """The socket it listens on."""
        return self.room.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """Its URL as Redis clients read it."""
        return "unix://" + quote(str(self.socket), safe="/")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it without waiting, so that another server can start meanwhile."""
        end_all_in(self.room.path, STOP)
        self.socket.unlink(missing_ok=True)
        with self.room.entered() as (inside, descriptors), self.room.written_log() as log:
            options = {
                "port": "0",
                "unixsocket": str(self.room.sockets_from(inside) / self.socket.name),
                "unixsocketperm": "700",
                "dir": str(inside),
                "appendonly": "yes" if self._durable else "no",
                "appendfsync": "everysec",
                "appenddirname": APPENDED,
                "save": "",
                "daemonize": "no",
            }
            command: list[str | Path] = [self._binaries.valkey]
            for name, value in options.items():
                command += [f"--{name}", value]
            self._process = Process(
                command,
                environment=bare_environment(),
                account=self.room.account,
                output=log,
                folder="/",
                keep_open=descriptors,
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers.

        Its data only makes things quicker: what it cannot read any more is set aside.
        """
        if self._becomes_ready():
            return
        if not self.alive and self._set_data_aside():
            self.launch()
            if self._becomes_ready():
                return
        raise StartError(
            f"Valkey did not start; its log {self.room.log} ends with\n" + self.room.last_words()
        )

    def stop(self, hurried: Callable[[], bool] = never_hurried) -> None:
        """Stop it with its data written."""
        if self._process is not None:
            self._process.stop(STOP, hurried)

    def kill(self) -> None:
        """Kill it outright, as a crash would."""
        if self._process is not None:
            self._process.kill()

    def _becomes_ready(self) -> bool:
        return wait_until(
            self._answers, alive=lambda: self.alive, seconds=START_SECONDS, pause=self._pause
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _set_data_aside(self) -> bool:
        data = self.room.path / APPENDED
        if not data.exists():
            return False
        aside = self.room.path / f"{APPENDED}.unreadable"
        shutil.rmtree(aside, ignore_errors=True)
        data.rename(aside)
        return True
