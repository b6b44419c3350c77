"""The embedded PostgreSQL: one cluster in the state folder, reached by a socket alone."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

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
from supervisor.secret_file import SecretFile

DATABASE: Final = "rensei"
SUPERUSER: Final = "postgres"
OWNER: Final = "rensei_owner"
WEB: Final = "rensei_web"
JOBS: Final = "rensei_jobs"
ROLES: Final = {
    SUPERUSER: "",
    OWNER: "login nosuperuser createrole",
    WEB: "login nosuperuser nocreaterole nocreatedb",
    JOBS: "login nosuperuser nocreaterole nocreatedb",
}
"""Each role and what it may do in general; the migrations grant the rest."""

PORT: Final = 5432
"""Only part of the socket's name: nothing listens on the network."""

START_SECONDS: Final = 600.0
"""Recovery after a crash may read a lot of log."""

STOP: Final[Steps] = ((SIGINT, 15.0), (SIGQUIT, 5.0))
"""Fast shutdown, which ends sessions and writes everything; then the immediate one."""

SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u ",
    # The text of a failed statement may hold what must not lie in a log file.
    "log_min_error_statement": "panic",
}
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
FORGETFUL: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """Starts, stops and restarts the cluster, and knows the URLs of its roles."""

    name = "PostgreSQL"

    def __init__(
        self,
        room: Room,
        binaries: Binaries,
        passwords: SecretFile,
        *,
        durable: bool = True,
        pause: Pause = time.sleep,
    ) -> None:
        self.room: Final = room
        self._binaries = binaries
        self._passwords = passwords
        self._durable = durable
        self._pause = pause
        self._process: Process | None = None

    @property
    def data(self) -> Path:
        """The data folder of the cluster."""
        return self.room.path / "data"

    @property
    def process(self) -> Process | None:
        """The server's first process, once there is one."""
        return self._process

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.alive

    def url(self, role: str) -> str:
        """The libpq URL of a role, on the database `rensei`."""
        password = self._passwords.read()[role]
        host = quote(str(self.room.sockets), safe="/")
        return f"postgresql://{role}:{password}@/{DATABASE}?host={host}"

    def start(self) -> None:
        """Start it, with a first set-up where there is no data yet, and wait until it answers."""
        self._make_passwords()
        self._clear_leftovers()
        if not self.data.exists():
            self._initialise()
        self._launch()
        ready = wait_until(
            self._answers, alive=lambda: self.alive, seconds=START_SECONDS, pause=self._pause
        )
        if not ready:
            raise StartError(
                f"PostgreSQL did not start; its log {self.room.log} ends with\n"
                + self.room.last_words()
            )
        self._arrange_roles()

    def stop(self, hurried: Callable[[], bool] = never_hurried) -> None:
        """End every session and stop with all data written."""
        if self._process is not None:
            self._process.stop(STOP, hurried)
            end_all_in(self.data, ())

    def kill(self) -> None:
        """Kill the server outright, as a crash would."""
        if self._process is not None:
            self._process.kill()

    def _make_passwords(self) -> None:
        if self._passwords.path.exists():
            return
        if self.data.exists():
            raise StartError(
                f"{self._passwords.path} is missing, and without it nobody can log in to the "
                f"data in {self.data}. Put the file back, or remove the state folder to begin anew."
            )
        # Written before there is any data, so that data without them means they were lost.
        self._passwords.write(
            {role: secrets.token_hex(24) for role in ROLES},
            "The passwords of the embedded PostgreSQL's roles.",
        )

    def _clear_leftovers(self) -> None:
        """End a server that outlived its supervisor, and forget one that did not.

        PostgreSQL itself goes by the id in its pid file, which after a crash may
        belong to another process, above all in a container, where ids begin anew.
        """
        pid_file = self.data / "postmaster.pid"
        leader = int(pid_file.read_text().split("\n")[0]) if pid_file.exists() else None
        if leader is not None and _is_postgres_elsewhere(leader):
            os.kill(leader, SIGINT)
            gone = wait_until(
                lambda: not _is_postgres_elsewhere(leader),
                alive=lambda: True,
                seconds=15,
                pause=self._pause,
            )
            if not gone:
                raise StartError(
                    f"PostgreSQL (pid {leader}) still runs on {self.data}. Stop it and start again."
                )
        end_all_in(self.data, STOP, leader)
        pid_file.unlink(missing_ok=True)
        for stale in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.room.sockets / stale).unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there, so that no half of one is used."""
        draft = self.room.path / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        password = self.room.path / "password"
        password.unlink(missing_ok=True)
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(self._passwords.read()[SUPERUSER])
        self.room.give(password)
        with self.room.entered() as (inside, descriptors), self.room.written_log() as log:
            initdb = Process(
                [
                    self._binaries.initdb,
                    f"--pgdata={inside / draft.name}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={inside / password.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # Unicode as PostgreSQL itself knows it: no locale of the machine is needed,
                    # and no change of one can spoil an index.
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--no-instructions",
                    *([] if self._durable else ["--no-sync"]),
                ],
                environment=bare_environment(),
                account=self.room.account,
                output=log,
                folder="/",
                keep_open=descriptors,
            )
            try:
                wait_until(
                    lambda: not initdb.alive, alive=lambda: True, seconds=300, pause=self._pause
                )
            finally:
                initdb.kill()
                password.unlink()
        if initdb.exit_code != 0:
            raise StartError(
                f"PostgreSQL's first set-up failed ({initdb.epitaph}); "
                f"its log {self.room.log} ends with\n" + self.room.last_words()
            )
        draft.rename(self.data)

    def _launch(self) -> None:
        with self.room.entered() as (inside, descriptors), self.room.written_log() as log:
            sockets = str(self.room.sockets_from(inside)).replace('"', '""')
            settings = {
                **SERVER_SETTINGS,
                **(DURABLE if self._durable else FORGETFUL),
                "unix_socket_directories": f'"{sockets}"',
            }
            command: list[str | Path] = [self._binaries.postgres, "-D", inside / self.data.name]
            for name, value in settings.items():
                command += ["-c", f"{name}={value}"]
            self._process = Process(
                command,
                environment=bare_environment(),
                account=self.room.account,
                output=log,
                folder="/",
                keep_open=descriptors,
                farewell=SIGINT,
            )

    def _answers(self) -> bool:
        """Whether the server has written `ready` into its pid file, as `pg_ctl` asks it."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _arrange_roles(self) -> None:
        """Make the database and its roles where they are missing."""
        passwords = self._passwords.read()
        with psycopg.connect(
            host=str(self.room.sockets),
            port=PORT,
            user=SUPERUSER,
            password=passwords[SUPERUSER],
            dbname="postgres",
            options="",
            autocommit=True,
        ) as db:
            there = {name for (name,) in db.execute("select rolname from pg_roles").fetchall()}
            for role, abilities in ROLES.items():
                if role not in there:
                    db.execute(
                        sql.SQL("create role {} with {} password {}").format(
                            sql.Identifier(role), sql.SQL(abilities), sql.Literal(passwords[role])
                        )
                    )
                if role in (WEB, JOBS) and role not in there:
                    # The owner may act as these roles and manage them, as it could had it made
                    # them itself, but it does not silently hold what they hold.
                    db.execute(
                        sql.SQL("grant {} to {} with admin true, inherit false, set true").format(
                            sql.Identifier(role), sql.Identifier(OWNER)
                        )
                    )
            found = db.execute("select 1 from pg_database where datname = %s", (DATABASE,))
            if found.fetchone() is None:
                db.execute(
                    sql.SQL("create database {} owner {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(OWNER)
                    )
                )


def _is_postgres_elsewhere(pid: int) -> bool:
    """Whether that process is a PostgreSQL, on systems that do not show where one works."""
    if Path("/proc/self/cwd").exists():
        return False
    shown = subprocess.run(
        ["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "postgres" in shown.stdout
