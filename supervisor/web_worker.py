"""The web worker: uvicorn under gunicorn, with what this server wants of both."""

# uvicorn_worker brings no types, so its class is unknown to the type checker.
# mypy: disable-error-code="import-untyped,misc"

import asyncio
import os
import signal
import sys
from typing import Any, ClassVar, Final

from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger
from uvicorn_worker import UvicornWorker

import logs
from settings import SettingsError
from supervisor.connection import Connection
from supervisor.parent_death import end_with_parent

GRACEFUL_SECONDS: Final = 8
PARENT_CHECK_SECONDS: Final = 1.0


class Log(Logger):
    """What gunicorn and uvicorn say, in the form of all other lines."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's settings, all but the form."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter("web", at_terminal=sys.stderr.isatty()))


class Worker(UvicornWorker):
    """Serves until SIGTERM, then ends what is running within eight seconds.

    A contract that cannot be served stops the start (lifespan "on"). While it serves,
    uvicorn's SIGTERM handler is installed with `signal.signal`: the lifespan of the
    application may put its own before it, and must call the one it finds there.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": Connection,
        "ws": "none",
        "lifespan": "on",
        "timeout_graceful_shutdown": GRACEFUL_SECONDS,
        "server_header": False,
        "access_log": False,
        # Whose forwarded addresses count is the application's own setting.
        "proxy_headers": False,
    }

    def init_process(self) -> None:
        """Begin, tied to the arbiter: a worker without one would hold the port for ever."""
        if not end_with_parent(self.ppid, signal.SIGKILL):
            sys.exit(0)
        super().init_process()

    def load_wsgi(self) -> None:
        """Build the application. What is wrong with the contract or a setting is told without a
        traceback, which would only show where it was noticed."""
        # Not above: under `make dev` the process that forks must not have read this code.
        from contract import ContractError

        try:
            super().load_wsgi()
        except (ContractError, SettingsError) as error:
            raise AppImportError(str(error)) from error

    async def _serve(self) -> None:
        watching = None
        if sys.platform != "linux":
            watching = asyncio.create_task(self._end_with_arbiter())
        await super()._serve()
        if watching is not None:
            watching.cancel()

    async def _end_with_arbiter(self) -> None:
        while os.getppid() == self.ppid:
            await asyncio.sleep(PARENT_CHECK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
