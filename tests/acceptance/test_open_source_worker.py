"""The open-source worker finishes its work here, whatever happens to it and to the server."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from bench.servers import Server
from tests.acceptance.promises import keeps_its_promises
from tests.acceptance.scenario import SERVER, Plan, scenario

SHORT = Plan(quick=3, stopped=1, crashed=1, restarted=1)


@pytest.fixture(scope="module")
def server():
    """As `make run` starts it, with leases that end soon."""
    with (
        tempfile.TemporaryDirectory(prefix="rensei-worker-", ignore_cleanup_errors=True) as made,
        Server(Path(made), **SERVER) as started,
    ):
        yield started


async def kill_the_web(played):
    """Every web process is killed; gunicorn starts others."""
    for process in played.server.web_processes():
        os.kill(process.pid, signal.SIGKILL)


async def test_the_open_source_worker_finishes_twelve_sessions(server):
    """Every second worker uses its runtime token, the others one constant key for everything."""
    outcome = await scenario(server, SHORT, kill_the_web, runtime=(False, True))

    keeps_its_promises(outcome, SHORT)
