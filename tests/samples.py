"""Runs the samples of the reference as a reader would, many of them in one process."""

import contextlib
import functools
import io
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self
from unittest import mock

import httpx

from settings import PROJECT

NODE: Final = PROJECT / ".venv" / "bin" / "node"

# Reads lines that name a script and its environment; answers each with a line of what came of it.
RUNNER: Final = """
import { createInterface } from "node:readline";
import { inspect } from "node:util";

let said = [];
console.log = (...values) => said.push(values.map((each) => inspect(each)).join(" "));
const asked = [];
if (process.argv[2] === "pretend") {
  globalThis.fetch = async (...given) => {
    const request = new Request(...given);
    // A request hides what browsers set by themselves; here it is the script that sets it.
    const headers = Object.fromEntries([...request.headers, ...new Headers(given[1]?.headers)]);
    asked.push({ method: request.method, url: request.url, headers, body: await request.text() });
    return new Response("{}");
  };
}
let number = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { script, variables } = JSON.parse(line);
  Object.assign(process.env, variables);
  said = [];
  let error = null;
  try {
    await import(`file://${script}?${number++}`);
  } catch (problem) {
    error = String(problem);
  }
  const request = asked.pop() ?? null;
  process.stdout.write(JSON.stringify({ error, said: said.join("\\n"), request }) + "\\n");
}
"""


def run_python(sample: str, variables: Mapping[str, str], folder: Path) -> str:
    """What the sample prints; raises what it raises."""
    said = io.StringIO()
    with (
        mock.patch.dict(os.environ, variables),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(said),
    ):
        exec(compile(sample, "sample.py", "exec"), {"__name__": "__main__"})
    return said.getvalue()


@contextmanager
def quick_httpx() -> Iterator[None]:
    """Every sample makes a client; the certificates that none of them needs are read once."""
    default = httpx._transports.default
    with mock.patch.object(
        default, "create_ssl_context", functools.cache(default.create_ssl_context)
    ):
        yield


class Node:
    """One Node that runs TypeScript samples in `folder`, or with `pretend` only takes requests."""

    def __init__(self, folder: Path, *, pretend: bool = False) -> None:
        self._folder = folder
        runner = folder / "runner.mjs"
        runner.write_text(RUNNER)
        self._process = subprocess.Popen(
            [NODE, "--disable-warning=ExperimentalWarning", runner, *(["pretend"] * pretend)],
            cwd=folder,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def run(self, sample: str, variables: Mapping[str, str]) -> dict[str, Any]:
        """What came of the sample: `error`, what it `said`, and the `request` when pretending."""
        script = self._folder / "sample.ts"
        script.write_text(sample)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = json.dumps({"script": str(script), "variables": variables})
        self._process.stdin.write(asked + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
