"""`make dev` on a copy of the project: it names what is missing, and follows what changes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from settings import PROJECT
from tests.supervisor.servers import free_port

BOUND_SECONDS = 60.0

OPERATION = """
  /api/foo:
    get:
      operationId: getFoo
      tags: [System]
      summary: Ask for foo
      description: |
        Answers.

        *Permissions:* none.
      security: []
      responses:
        '200': {$ref: '#/components/responses/Refused'}
        default: {$ref: '#/components/responses/Refused'}

components:
"""

RULES = "RULES: Final[dict[str, Rule]] = {"
RULE = '\n    "getFoo": Rule(PUBLIC),'

HANDLER = '''
async def get_foo() -> Reply:
    """Answer."""
    return {"error": "foo"}, 200
'''


class Dev:
    """The command at work in a copy of the project."""

    def __init__(self, copy: Path, folder: Path) -> None:
        self.copy = copy
        self.port = free_port()
        self._output = folder / "output"
        self._deadline = time.monotonic() + BOUND_SECONDS
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RENSEI_", "WEBHOOK_")) and not name.endswith("_URL")
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "scripts/dev.py"],
                cwd=copy,
                env={
                    **inherited,
                    "RENSEI_HOME": str(folder / "home"),
                    "RENSEI_PORT": str(self.port),
                    "RENSEI_WORKERS": "1",
                },
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)
        except OSError:
            return ""

    def replace(self, path: str, old: str, new: str) -> None:
        source = (self.copy / path).read_text()
        assert old in source
        (self.copy / path).write_text(source.replace(old, new, 1))

    def until(self, condition: Callable[[], bool]) -> float:
        """Wait for the condition; the seconds it took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() < self._deadline, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.05)
        return time.monotonic() - begun

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    copy = tmp_path / "copy"
    unwanted = shutil.ignore_patterns(".*", "tests", "bench", "build", "node_modules")
    shutil.copytree(PROJECT, copy, ignore=unwanted)
    started = Dev(copy, tmp_path)
    yield started
    started.end()


def test_dev_names_a_missing_handler_keeps_serving_and_then_serves_the_new_operation(dev: Dev):
    dev.until(lambda: "Rensei server is ready" in dev.output)
    version = json.loads(dev.get("/api/health"))["version"]

    dev.replace("openapi/rensei-api.yaml", "\ncomponents:\n", OPERATION)
    dev.until(lambda: "goes on as it was" in dev.output)
    assert (
        "openapi/rensei-api.yaml names getFoo, and no module of handlers/ has "
        "`async def get_foo`: add it"
    ) in dev.output
    assert "names getFoo, and RULES in auth/scopes.py does not" in dev.output
    assert json.loads(dev.get("/api/health"))["version"] == version
    assert dev.get("/api/foo") == "404"

    dev.replace("auth/scopes.py", RULES, RULES + RULE)
    with (dev.copy / "handlers" / "health.py").open("a") as health:
        health.write(HANDLER)
    dev.until(lambda: dev.get("/api/foo") == '{"error":"foo"}')

    assert dev.end() == 0
    assert dev.get("/api/health") == ""
