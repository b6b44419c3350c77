"""One whole server, as `make run` starts it, on a port and a state folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from bench import processes
from bench.processes import Seen
from settings import PROJECT
from supervisor.parent_death import tie_to_this_process
from supervisor.secret_file import SecretFile
from supervisor.state_folder import StateFolder
from supervisor.stores import PASSWORDS

READY: Final = "Rensei server is ready"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
SYSTEM_KEY: Final = "rsk_system_" + "7" * 64
LINEAR_SECRET: Final = "lin_wh_" + "7" * 40


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """This process's own, without anything that sets up a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RENSEI_", "WEBHOOK_", "WORKER_API_KEY", "PG"))
        and not name.endswith("_URL")
    }


class Server:
    """`python -m supervisor` and all below it; it ends with this process at the latest."""

    def __init__(self, folder: Path, *, project: Path = PROJECT, **settings: str) -> None:
        """Keyword arguments are settings. What the server prints goes into `folder`."""
        self.home: Final = folder / "home"
        self.port: Final = int(settings.get("RENSEI_PORT", 0)) or free_port()
        self.log: Final = folder / "server.log"
        self._project = project
        self._environment = {
            **clean_environment(),
            "RENSEI_HOME": str(self.home),
            "RENSEI_SYSTEM_KEY": SYSTEM_KEY,
            "WEBHOOK_SECRET_LINEAR": LINEAR_SECRET,
            **settings,
            "RENSEI_PORT": str(self.port),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._known: set[tuple[int, str]] = set()

    def __enter__(self) -> Self:
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def launch(self) -> None:
        """Start it, without waiting."""
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "supervisor"],
                cwd=self._project,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # Safe here: it calls nothing but prctl and getppid, and takes no lock.
                preexec_fn=tie_to_this_process(signal.SIGTERM),  # noqa: PLW1509
            )

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait for the line that says so; `RuntimeError` with the output when it does not come."""
        deadline = time.monotonic() + seconds
        while READY not in self.output:
            if self.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{self.output}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it properly; what is left then, and belongs to it, is killed."""
        self.processes()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the supervisor and everything below it at once, as a power cut would."""
        left = self.processes()
        if self._process is not None:
            self._process.kill()
        for each in left:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def kill_supervisor(self) -> None:
        """Kill the supervisor alone."""
        self.processes()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def exit_code(self) -> int | None:
        """None while the supervisor runs."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[Seen]:
        """The supervisor and all that it has started, those it has left behind included."""
        now = {each.pid: each for each in processes.everyone()}
        found = {each.pid: each for each in processes.tree(self.pid)}
        # Whoever was seen below the supervisor before and still is the same program.
        for pid, command in self._known:
            if pid in now and now[pid].command == command:
                found[pid] = now[pid]
        self._known |= {(each.pid, each.command) for each in found.values()}
        return list(found.values())

    def web(self) -> Seen:
        """Gunicorn's arbiter, the parent of the web processes."""
        return self._child("gunicorn")

    def web_processes(self) -> list[Seen]:
        """The web processes themselves, oldest first."""
        web = self.web()
        return [each for each in processes.tree(web.pid) if each.parent == web.pid]

    def jobs(self) -> Seen:
        """The job process."""
        return self._child("-m jobs")

    def postgres(self) -> Seen:
        """The embedded PostgreSQL's first process."""
        return self._child("/bin/postgres -D")

    def valkey(self) -> Seen:
        """The embedded Valkey."""
        return self._child("valkey-server")

    @property
    def web_url(self) -> str:
        """The database as the web processes see it."""
        return self.web().environment["RENSEI_WEB_DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        """Redis as the web processes see it."""
        return self.web().environment["REDIS_URL"]

    @property
    def owner_url(self) -> str:
        """The embedded database as its owner, whose password lies in the state folder."""
        passwords = SecretFile(StateFolder(self.home), PASSWORDS).read()
        parts = urlsplit(self.web_url)
        login = f"rensei_owner:{passwords['rensei_owner']}@"
        return parts._replace(netloc=login + parts.netloc.rpartition("@")[2]).geturl()

    def _child(self, words: str) -> Seen:
        for each in self.processes():
            if each.parent == self.pid and words in each.command:
                return each
        raise LookupError(f"no process of the server runs {words!r}")
