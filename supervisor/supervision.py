"""The supervisor: starts the parts of a server in order, keeps them, stops them in order."""

import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from signal import SIGKILL, SIGTERM
from typing import Final
from urllib.parse import urlsplit

import psycopg

from persistence import vector_types
from settings import Settings
from supervisor import address, credentials, postgres
from supervisor.bell import Bell
from supervisor.credentials import Credentials
from supervisor.environment import JOBS_DATABASE, WEB_DATABASE, Environments, Urls, external_urls
from supervisor.errors import StartError, Stopped, WrongSettings
from supervisor.housing import Housing
from supervisor.plan import Plan
from supervisor.postgres import Postgres
from supervisor.processes import Process, Steps
from supervisor.services import Keeper, Program, Service
from supervisor.state_folder import StateFolder
from supervisor.stores import build_postgres, build_valkey
from supervisor.valkey import Valkey

WEB_STOP: Final[Steps] = ((SIGTERM, 12.0),)
"""More than the web worker's own eight seconds and gunicorn's ten."""

JOBS_STOP: Final[Steps] = ((SIGTERM, 10.0),)

WEB_START_SECONDS: Final = 120.0
MOST_WEB_ENDS: Final = 4
PROGRESS_SECONDS: Final = 5.0
LOGS_SECONDS: Final = 60.0
CRASH_PATIENCE_SECONDS: Final = 15.0
"""How long a web that outlived a killed supervisor may take to leave the port."""

Tell = Callable[[str], None]


class Supervisor:
    """One server from start to stop."""

    def __init__(self, settings: Settings, plan: Plan, bell: Bell, tell: Tell) -> None:
        self._settings = settings
        self._plan = plan
        self._bell = bell
        self._tell = tell
        self._took: dict[str, float] = {}
        self._folder: StateFolder | None = None
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self._jobs: Program | None = None
        self._web: Program | None = None

    def run(self) -> None:
        """Start, say so, watch until asked to stop, and stop; `StartError` when it cannot."""
        with ExitStack() as left_last:
            try:
                self._check_settings()
                self._claim(left_last)
                self._start()
                self._tell(self._ready())
                self._tell_of_redis()
                self._watch()
            except Stopped:
                pass
            finally:
                self._stop()

    @property
    def _embedded(self) -> bool:
        return self._settings.database_url is None

    def _check_settings(self) -> None:
        settings = self._settings
        if self._embedded and (settings.web_database_url or settings.jobs_database_url):
            raise WrongSettings(
                f"{WEB_DATABASE} and {JOBS_DATABASE} need DATABASE_URL beside them, "
                "the owner's login for the migrations."
            )

    def _claim(self, left_last: ExitStack) -> None:
        """Take the state folder and see that the port is free, before anything is started."""
        if self._embedded or self._settings.redis_url is None:
            self._folder = left_last.enter_context(StateFolder(self._settings.home))
        crashed = self._folder is not None and self._folder.crashed
        address.check_free(
            self._settings.host,
            self._settings.port,
            patience_seconds=CRASH_PATIENCE_SECONDS if crashed else 0.0,
            pause=self._bell.pause,
        )

    def _start(self) -> None:
        found = self._credentials()
        with self._timed("stores"):
            urls = self._start_stores()
        environments = Environments(self._settings, found, urls, embedded=self._embedded)
        with self._timed("database"):
            self._prepare(environments)
        folder = self._plan.folder
        self._web = Program(
            "The web", self._plan.web, environments.of_web(), folder, WEB_STOP, farewell=SIGTERM
        )
        self._jobs = Program(
            "The job process",
            self._plan.jobs,
            environments.of_jobs(),
            folder,
            JOBS_STOP,
            # Jobs take up after a crash what they left; a stuck one must not stay behind.
            farewell=SIGKILL,
        )
        with self._timed("web"):
            self._web.start()
            self._wait_for_health(self._web)
        self._jobs.start()

    def _credentials(self) -> Credentials:
        if self._folder is None or not self._embedded:
            return credentials.of_external(self._settings)
        has_data = (self._folder.path / "postgres" / "data").exists()
        return credentials.of_embedded(self._folder, self._settings, has_data=has_data)

    def _start_stores(self) -> Urls:
        settings, pause = self._settings, self._bell.pause
        if self._folder is not None:
            housing = Housing(self._folder)
            if settings.redis_url is None:
                self._valkey = build_valkey(housing, pause=pause)
                self._valkey.launch()
            if self._embedded:
                self._postgres = build_postgres(housing, pause=pause)
                self._postgres.start()
                if settings.embedder is not None:
                    with psycopg.connect(
                        self._postgres.url(postgres.SUPERUSER), autocommit=True
                    ) as db:
                        vector_types.make(db)
            if self._valkey is not None:
                self._valkey.wait_until_ready()
        redis = settings.redis_url or (self._valkey.url if self._valkey is not None else "")
        if self._postgres is None:
            return external_urls(settings, redis)
        return Urls(
            owner=self._postgres.url(postgres.OWNER),
            web=self._postgres.url(postgres.WEB),
            jobs=self._postgres.url(postgres.JOBS),
            redis=redis,
        )

    def _prepare(self, environments: Environments) -> None:
        preparation = Process(
            self._plan.prepare,
            environment=environments.of_preparation(),
            folder=self._plan.folder,
            farewell=SIGKILL,
        )
        try:
            for _ in self._progress("preparing the database"):
                if not preparation.alive:
                    break
        finally:
            preparation.kill()
        if preparation.exit_code != 0:
            raise StartError(
                f"The database could not be prepared ({preparation.epitaph}); "
                "the reason stands above."
            )

    def _wait_for_health(self, web: Program) -> None:
        answer = ""
        for waited in self._progress("waiting for the web"):
            if web.process is not None and not web.alive:
                raise StartError(
                    f"The web could not start ({web.process.epitaph}); the reason stands above."
                )
            answer = address.health(self._settings.host, self._settings.port)
            if answer == "200":
                return
            if waited > WEB_START_SECONDS:
                break
        raise StartError(
            f"The web did not become healthy within {WEB_START_SECONDS:.0f} s; "
            f"{address.HEALTH} last said: {answer}."
        )

    def _tell_of_redis(self) -> None:
        """A Redis that does not answer stops nothing, so nobody would look for it."""
        settings = self._settings
        if settings.redis_url and "redis" in address.says_down(settings.host, settings.port):
            where = urlsplit(settings.redis_url)
            self._tell(
                f"rensei: REDIS_URL ({where.hostname or where.path}) does not answer. The server "
                "is slower without it and loses nothing; it is used as soon as it answers."
            )

    def _progress(self, doing: str) -> Iterator[float]:
        """Turns of a waiting, with a word to the terminal when it takes long."""
        begun = time.monotonic()
        told = 0.0
        while True:
            waited = time.monotonic() - begun
            if waited - told > PROGRESS_SECONDS:
                told = waited
                self._tell(f"Still {doing} ({waited:.0f} s) …")
            yield waited
            self._bell.pause(0.02)

    def _watch(self) -> None:
        keepers = [
            Keeper(
                service,
                self._tell_when,
                most_ends=MOST_WEB_ENDS if service is self._web else None,
            )
            for service in reversed(self._parts())
        ]
        logs_due = time.monotonic() + LOGS_SECONDS
        while not self._bell.requests:
            wait = min([keeper.attend() for keeper in keepers] + [LOGS_SECONDS])
            if time.monotonic() > logs_due:
                logs_due = time.monotonic() + LOGS_SECONDS
                for store in (self._postgres, self._valkey):
                    if store is not None:
                        store.room.trim_log()
            self._bell.wait(wait)
            self._bury_strangers()

    def _tell_when(self, text: str) -> None:
        """Say what happened and when: who reads it has to find what else happened then."""
        self._tell(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")

    def _bury_strangers(self) -> None:
        """As process 1 of a container, take leave of orphans, which nobody else can."""
        if os.getpid() != 1:
            return
        own = {part.process.pid for part in self._parts() if part.process is not None}
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in own:
                return
            os.waitpid(ended.si_pid, 0)

    def _stop(self) -> None:
        """Stop in the order in which each needs the next."""
        parts = [part for part in self._parts() if part.process is not None]
        if not parts:
            return
        begun = time.monotonic()
        self._tell("Stopping …")
        with ExitStack() as all_of_them:
            for part in reversed(parts):
                all_of_them.callback(part.stop, self._bell.hurried)
        self._tell(f"Stopped in {time.monotonic() - begun:.1f} s.")

    def _parts(self) -> list[Service]:
        """All there are yet, those first that depend on the others."""
        every: list[Service | None] = [self._web, self._jobs, self._valkey, self._postgres]
        return [part for part in every if part is not None]

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self._took[what] = time.monotonic() - begun

    def _ready(self) -> str:
        settings = self._settings
        near = address.local_url(settings.host, settings.port)
        public = settings.public_url or near
        steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._took.items())
        if self._folder is not None and self._embedded:
            file = self._folder.path / credentials.FILE
            where = str(file)
            attempt = (
                f". {shlex.quote(where)} && "
                f'curl -H "Authorization: Bearer $RENSEI_ORG_KEY" {near}/api/cli/whoami'
            )
        else:
            where = "those of your environment"
            attempt = f"curl {near}{address.HEALTH}"
        return "\n".join(
            [
                "",
                f"Rensei server is ready at {public}",
                f"  reference    {public}/docs/api/reference",
                f"  fleet        {public}/fleet",
                f"  credentials  {where}",
                f"  try it       {attempt}",
                f"  started in   {sum(self._took.values()):.1f} s ({steps})",
                "  stop         Ctrl-C",
                "",
            ]
        )
