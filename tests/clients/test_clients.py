"""What is made from the contract works: the generated clients, and the types of all samples."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from auth.scopes import RULES
from pages import reference
from pages.samples import samples_of
from scripts import clients
from settings import PROJECT
from tests.contract.live import Live, live_server, seed
from tests.contract.operations import CONTRACT
from tests.samples import NODE

pytestmark = pytest.mark.browser

HERE: Final = Path(__file__).parent
TSC: Final = clients.MODULES / "typescript" / "bin" / "tsc"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The clients of the contract as it is."""
    clients.build()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Python and TypeScript sample of every operation."""
    folder = tmp_path_factory.mktemp("samples")
    for operation in reference.read(CONTRACT.spec, RULES).operations:
        _, python, typescript = samples_of(operation, CONTRACT.spec, "http://127.0.0.1:8080")
        (folder / f"{operation.id}.py").write_text(python.text + "\n")
        (folder / f"{operation.id}.mts").write_text(typescript.text + "\n")
    return folder


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with the things of the examples."""
    with live_server(tmp_path_factory.mktemp("clients")) as live:
        yield live


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_mypy_finds_nothing_in_the_client_its_driver_and_all_samples(samples, tmp_path):
    package = clients.TARGET / "python" / "rensei_client"
    python = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--scripts-are-modules"]
    sources = [package, HERE / "drive.py", *sorted(samples.glob("*.py"))]

    done = run(*python, f"--cache-dir={tmp_path}", *sources, MYPYPATH=str(package.parent))

    assert done.returncode == 0, done.stdout + done.stderr


def test_tsc_finds_nothing_in_the_client_its_driver_and_all_samples(samples):
    settings = json.loads((HERE / "tsconfig.json").read_text())
    settings["compilerOptions"]["typeRoots"] = [str(clients.MODULES / "@types")]
    settings["files"] = [str(HERE / "drive.mts"), *map(str, sorted(samples.glob("*.mts")))]
    (samples / "tsconfig.json").write_text(json.dumps(settings))

    done = run(NODE, TSC, "--project", samples)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_body_has_a_type():
    modules = (clients.TARGET / "python" / "rensei_client" / "api").rglob("*.py")

    assert [each.name for each in modules if "body: Any" in each.read_text()] == []


def test_ruff_would_write_every_python_sample_as_it_is(samples):
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff"]

    done = run(*ruff, "--line-length=80", samples)

    assert done.returncode == 0, done.stdout + done.stderr


DRIVERS: Final = {
    "Python": [sys.executable, HERE / "drive.py"],
    "TypeScript": [NODE, HERE / "drive.mts"],
}


@pytest.mark.parametrize("language", DRIVERS)
def test_a_client_drives_a_session_a_refusal_a_list_and_a_stream(live, language):
    variables = seed(live)

    done = run(
        *DRIVERS[language],
        RENSEI_URL=live.base_url,
        PYTHONPATH=str(clients.TARGET / "python"),
        **variables,
    )

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["session"] == {
        "claimed": True,
        "events": [
            ["status", {"status": "working"}],
            ["activity", "thought", f"Hello from {language}"],
            ["end", {"status": "completed"}],
        ],
        "status": "completed",
        "cost": 0.5,
    }
    assert seen["refusal"] == [404, "Error", "Session not found"]
    listed: list[Any] = [each for page in seen["pages"] for each in page]
    assert all(len(page) == 2 for page in seen["pages"][:-1])
    assert len(seen["pages"]) > 2
    assert listed.count("ENG-1") == 1
    assert live.complaints() == []
