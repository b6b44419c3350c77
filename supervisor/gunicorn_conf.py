"""gunicorn's settings; it reads this file itself, in the web's environment."""

import importlib
import os
import sys
from typing import Any

from settings import Settings

_settings = Settings.from_environment()
_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host

bind = f"{_host}:{_settings.port}"
workers = _settings.workers
worker_class = "supervisor.web_worker.Worker"
preload_app = False

# The worker itself gives streams and requests eight seconds (web_worker.py).
graceful_timeout = 10
timeout = 30

# Longer than the poll and heartbeat intervals, so that workers keep their connections.
keepalive = 75

# No socket through which the server could be managed from outside.
control_socket_disable = True

# The file by which a worker shows that it lives: on a disk, a slow write looks like a dead one.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

loglevel = "warning"
logger_class = "supervisor.web_worker.Log"
accesslog = None


def on_starting(_: Any) -> None:
    """Load code and contract once, for every process, also for one that takes a dead one's place.

    Nothing is opened or begun before the fork. `make dev` sets the variable, since the processes
    that it asks for must read what has changed.
    """
    if os.environ.get("RENSEI_LOADS_ONCE") == "no":
        return
    importlib.import_module("services.mcp_protocol")
    from contract import ContractError

    try:
        importlib.import_module("app").prepare()
    except ContractError as error:
        # It says what to do; where in our code it was noticed helps nobody.
        sys.exit(str(error))
