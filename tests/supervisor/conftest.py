"""Servers that end with their test, and a user who is not root."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import Settings
from supervisor import credentials
from supervisor.state_folder import StateFolder
from supervisor.stores import Stores
from tests.supervisor.servers import Launch, Server

NOBODY = 65534


@pytest.fixture(scope="session")
def seasoned_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder after its first start, on which many tests start again."""
    home = tmp_path_factory.mktemp("seasoned") / "home"
    with StateFolder(home) as folder:
        credentials.of_embedded(folder, Settings(), has_data=False)
    with Stores(home, durable=False):
        pass
    return home


@pytest.fixture
def home(seasoned_home: Path, tmp_path: Path) -> Path:
    """The seasoned state folder, where a server of this test looks for its own."""
    home = tmp_path / "home"
    home.symlink_to(seasoned_home)
    return home


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start a server in a folder of this test; keyword arguments go into its environment.

    Its state folder is `home` in that folder, new unless the test has put one there.
    """
    servers: list[Server] = []

    def start(
        *, folder: Path = tmp_path, prefix: list[str] | None = None, **environment: str
    ) -> Server:
        folder.mkdir(exist_ok=True)
        server = Server(folder, prefix or [], **environment)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def as_normal_user() -> Iterator[tuple[Path, list[str]]]:
    """A folder of a normal user, and what starts a command as that user.

    Started as root, that is `nobody`, who may however need help to enter the folder
    of the interpreter; otherwise it is the user who runs the tests.
    """
    with tempfile.TemporaryDirectory(prefix="rensei-test-", dir="/tmp") as made:
        folder = Path(made)
        if os.geteuid() != 0:
            yield folder, []
            return
        os.chown(folder, NOBODY, NOBODY)
        prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        # The shell in between matters: setpriv itself still has root's abilities when it executes.
        reached = [*prefix, "sh", "-c", 'exec "$0" -c ""', sys.executable]
        if subprocess.run(reached, cwd="/", check=False, capture_output=True).returncode != 0:
            prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        yield folder, prefix
