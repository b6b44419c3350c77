"""`python -m scripts.run_tests`: pytest, and what failed beside others runs once more, alone.

Many promises are about time (a lease ends, a stream hears within a second), and the machines that
judge have two cores, which all tests share. A test that fails alone too has failed; one that fails
only in the crowd is named at the end, to be looked at. More than a few are believed at once.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from settings import PROJECT

FAILED: Final = 1
"""pytest's exit code for tests that failed; any other is about the run itself."""

FEW: Final = 5


def main(arguments: list[str]) -> int:
    """Run pytest with these arguments; the exit code of the last run."""
    cache = Path(tempfile.mkdtemp(prefix="rensei-tests-"))
    try:
        code = _pytest(cache, *arguments)
        failed = _failed(cache)
        if code != FAILED or not failed or len(failed) > FEW:
            return code
        print(f"\n{len(failed)} failed while others ran. Once more, alone:", flush=True)
        # Where the first run looked is in its arguments, and they may name less than these tests.
        code = _pytest(cache, *_without_workers(arguments), "--last-failed")
        if code == 0:
            print("Failed in the crowd, passed alone; look why:", *failed, sep="\n  ", flush=True)
        return code
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _pytest(cache: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
    # Every process of the tests would otherwise compile all tests and all of the server anew.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode  # noqa: S603 - no shell


def _failed(cache: Path) -> list[str]:
    try:
        return list(json.loads((cache / "v" / "cache" / "lastfailed").read_bytes()))
    except FileNotFoundError:
        return []


def _without_workers(arguments: list[str]) -> list[str]:
    """The arguments with nothing beside: `-n 4` becomes `-n 0`."""
    at = arguments.index("-n") if "-n" in arguments else None
    return arguments if at is None else [*arguments[: at + 1], "0", *arguments[at + 2 :]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
