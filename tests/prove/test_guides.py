"""The guides' commands work as they are printed, on a server that `make run` would start."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pages import guides

pytestmark = pytest.mark.prove

CAREFUL = """
curl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }
"""


def commands(text: str) -> str:
    """The blocks of a guide that are meant to be pasted, one after the other."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_every_guides_commands_work(serve: Callable[..., Any], folder: Path) -> None:
    server = serve()
    run = 0
    for guide in guides.read():
        script = commands(guide.text).replace(
            "http://127.0.0.1:8080", f"http://127.0.0.1:{server.port}"
        )
        script = script.replace(". .rensei/credentials", f". {server.home}/credentials")
        assert script, guide.name
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", CAREFUL + script],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, (guide.name, done.stdout[-1500:], done.stderr[-1500:])
        run += script.count("curl ") + script.count("\nworker ")
    assert run > 50
