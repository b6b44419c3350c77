"""The worker as a process of its own, which can be killed with `kill -9`.

`python -m tests.acceptance.process` reads its orders as a line of JSON and prints, as a line of
JSON, the sessions on which its agents work whenever these are others, and what broke it.
"""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

from settings import PROJECT
from supervisor.parent_death import tie_to_this_process
from tests.acceptance.wire import Journal
from tests.acceptance.worker import Worker


async def main(orders: dict[str, Any]) -> None:
    journal = Journal()
    worker = Worker(orders.pop("port"), orders.pop("key"), orders.pop("name"), journal, **orders)
    await worker.start()
    shown: list[str] = []
    while not worker.failures:
        at_work = sorted(run.id for run in worker.runs.values() if run.agent is not None)
        if at_work != shown:
            print(json.dumps(at_work), flush=True)
            shown = at_work
        await asyncio.sleep(0.02)
    print(json.dumps({"broken": [str(each) for each in worker.failures]}), flush=True)


class Process:
    """Such a process, as whoever kills it sees it."""

    def __init__(self, **orders: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.process"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Safe here: it calls nothing but prctl and getppid, and takes no lock.
            preexec_fn=tie_to_this_process(signal.SIGKILL),  # noqa: PLW1509
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.close()

    async def until_at_work(self, sessions: list[str]) -> None:
        """Wait until its agents work on all of these."""
        at_work: list[str] = []
        async with asyncio.timeout(30):
            while not set(sessions) <= set(at_work):
                assert self._process.stdout is not None
                line = await asyncio.to_thread(self._process.stdout.readline)
                at_work = json.loads(line)
                assert isinstance(at_work, list), at_work

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.stdin.readline())))
