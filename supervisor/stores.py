"""The two embedded stores together, for tests, measurements and whoever needs only them."""

import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from supervisor import postgres
from supervisor.housing import Housing
from supervisor.postgres import Postgres
from supervisor.processes import Pause
from supervisor.secret_file import SecretFile
from supervisor.state_folder import StateFolder
from supervisor.valkey import Valkey

PASSWORDS: Final = "postgres-passwords"


def build_postgres(
    housing: Housing, *, durable: bool = True, pause: Pause = time.sleep
) -> Postgres:
    """The embedded PostgreSQL of a state folder."""
    return Postgres(
        housing.room("postgres"),
        housing.binaries,
        SecretFile(housing.folder, PASSWORDS),
        durable=durable,
        pause=pause,
    )


def build_valkey(housing: Housing, *, durable: bool = True, pause: Pause = time.sleep) -> Valkey:
    """The embedded Valkey of a state folder."""
    return Valkey(housing.room("valkey"), housing.binaries, durable=durable, pause=pause)


class Stores:
    """Embedded PostgreSQL and Valkey on a folder of their own, from `with` to its end.

    `durable=False` leaves out all waiting for the disk: right for tests, whose data
    need not outlive the machine. Enter it on a thread that stays: the servers end
    with the thread that started them.
    """

    postgres: Postgres
    valkey: Valkey

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = StateFolder(folder)
        self._durable = durable

    def __enter__(self) -> Self:
        self._folder.__enter__()
        try:
            housing = Housing(self._folder)
            self.valkey = build_valkey(housing, durable=self._durable)
            self.postgres = build_postgres(housing, durable=self._durable)
            self.valkey.launch()
            self.postgres.start()
            self.valkey.wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        try:
            for each in ("valkey", "postgres"):
                if hasattr(self, each):
                    getattr(self, each).stop()
        finally:
            self._folder.__exit__(None, None, None)

    @property
    def owner_url(self) -> str:
        """PostgreSQL as the owner of the database, for migrations."""
        return self.postgres.url(postgres.OWNER)

    @property
    def web_url(self) -> str:
        """PostgreSQL as the web processes see it."""
        return self.postgres.url(postgres.WEB)

    @property
    def jobs_url(self) -> str:
        """PostgreSQL as the job process sees it."""
        return self.postgres.url(postgres.JOBS)

    @property
    def redis_url(self) -> str:
        """Valkey, as Redis clients read it."""
        return self.valkey.url
