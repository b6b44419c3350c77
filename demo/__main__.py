"""`python -m demo`: a fleet works off webhooks on the running server, while somebody kills it.

At a terminal it shows a live picture and takes keys; elsewhere it prints a line every other second.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from bench.connections import Caller
from demo.crew import Crew
from demo.source import Source
from demo.view import NEWEST, Picture
from persistence.demo import WORKSPACE
from settings import PROJECT
from supervisor.credentials import FILE, LINEAR, ORG, WORKER
from supervisor.secret_file import SecretFile
from supervisor.state_folder import StateFolder

LOOK_SECONDS: Final = 0.5
LINE_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 8.0
HIRE_AFTER_SECONDS: Final = 3.0
BURST: Final = 20
GIVE_UP_SECONDS: Final = 20.0
"""How long nothing may be queued, at work or newly completed before the rest is given up. An event
becomes a session a moment after its answer, on a busy machine some seconds."""


class Demo:
    """One run: events go out, workers work, and the picture is kept up to date."""

    def __init__(self, picture: Picture, source: Source, org_key: str, port: int) -> None:
        self._picture: Final = picture
        self._source: Final = source
        self._reader: Final = Caller(port, org_key)
        self._chance: Final = random.Random()  # noqa: S311
        self._soon: Final[set[asyncio.Task[None]]] = set()
        self.quit: Final = asyncio.Event()

    async def send(self, count: int | None, every_seconds: float) -> None:
        """Send events, so many or without end."""
        while (count is None or len(self._source.sent) < count) and not self.quit.is_set():
            await self._send_one()
            await asyncio.sleep(every_seconds)

    async def burst(self) -> None:
        """Send twenty at once."""
        self._picture.note(f"{BURST} sessions at once")
        for _ in range(BURST):
            await self._send_one()

    async def _send_one(self) -> None:
        await self._source.send()
        self._picture.sent = len(self._source.sent)

    async def look(self) -> None:
        """Read the ledgers and the public API again and again."""
        while True:
            self._picture.take(self._picture.crew.read())
            try:
                stats = await self._reader.get("/api/public/stats")
                newest = await self._reader.get(f"/api/public/sessions?limit={NEWEST}")
                if (stats.status, newest.status) == (200, 200):
                    if not self._picture.stats:
                        self._picture.completed_before = stats.json()["completedToday"]
                    self._picture.stats = stats.json()
                    self._picture.sessions = newest.json()["sessions"]
                    self._picture.trouble = ""
                else:
                    self._picture.trouble = f"the server answers {stats.status}; it is asked again"
            except OSError:
                self._picture.trouble = "the server does not answer; everybody tries again"
            await asyncio.sleep(LOOK_SECONDS)

    async def until_ended(self, count: int) -> None:
        """Wait until so many sessions are completed, or nothing moves any more."""
        completed, moved = 0, time.monotonic()
        while completed < count and time.monotonic() < moved + GIVE_UP_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            stats = self._picture.stats
            idle = stats.get("queueDepth") == 0 and stats.get("agentsWorking") == 0
            if not idle or self._picture.sent < count or self._picture.completed > completed:
                moved = time.monotonic()
            completed = self._picture.completed
        self.quit.set()

    async def kill_every(self, seconds: float, kills: int | None) -> None:
        """Kill one worker after the other, so many or without end."""
        crew = self._picture.crew
        while kills is None or crew.kills["killed"] < kills:
            await asyncio.sleep(seconds)
            self.kill()

    def kill(self) -> None:
        """`kill -9` a worker by chance; another one takes its place a little later."""
        crew = self._picture.crew
        member = crew.pick(self._chance)
        if member is not None:
            crew.kill(member)
            self._picture.note(f"{member.name} was killed while it held {len(member.holding)}")
            self._later(HIRE_AFTER_SECONDS, crew.hire)

    def pause(self) -> None:
        """SIGSTOP a worker by chance, and let it go on after eight seconds."""
        crew = self._picture.crew
        member = crew.pick(self._chance)
        if member is not None:
            crew.pause(member)
            self._picture.note(f"{member.name} stands still for {PAUSE_SECONDS:.0f} s")
            self._later(PAUSE_SECONDS, lambda: crew.resume(member))

    def key(self, letter: str) -> None:
        """What a key does."""
        match letter:
            case "k":
                self.kill()
            case "p":
                self.pause()
            case "h":
                self._picture.crew.hire()
            case "b":
                self._keep(asyncio.create_task(self.burst()))
            case "q" | "\x03":
                self.quit.set()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            what()

        self._keep(asyncio.create_task(wait()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)

    async def close(self) -> None:
        """End what was begun."""
        for task in self._soon:
            task.cancel()
        self._reader.close()
        self._source.close()


@contextmanager
def keys(demo: Demo) -> Iterator[None]:
    """Hand every key that is pressed to the demo, without waiting for the end of a line."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, lambda: demo.key(os.read(descriptor, 1).decode(errors="ignore")))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def show(picture: Picture, demo: Demo, *, terminal: bool) -> None:
    """Show the picture until the demo ends."""
    if not terminal:
        while not demo.quit.is_set():
            print(picture.line(), flush=True)
            try:
                await asyncio.wait_for(demo.quit.wait(), LINE_SECONDS)
            except TimeoutError:
                pass
        return
    with keys(demo), Live(console=Console(), screen=True, auto_refresh=False) as live:
        while not demo.quit.is_set():
            live.update(picture.render(keys=True), refresh=True)
            await asyncio.sleep(LOOK_SECONDS / 2)


async def run(given: argparse.Namespace, secrets: dict[str, str], folder: Path) -> int:
    """The demo from start to end; the exit code."""
    crew = Crew(
        given.port, secrets[WORKER], folder, capacity=given.capacity, step_seconds=given.step
    )
    picture = Picture(f"http://127.0.0.1:{given.port}", crew)
    source = Source(given.port, secrets[LINEAR], WORKSPACE)
    demo = Demo(picture, source, secrets[ORG], given.port)
    crew.hire(given.workers)
    tasks = [asyncio.create_task(demo.look())]
    while not picture.stats and not picture.trouble:
        await asyncio.sleep(LOOK_SECONDS / 5)
    tasks.append(asyncio.create_task(demo.send(given.sessions, given.every)))
    if given.sessions is not None:
        tasks.append(asyncio.create_task(demo.until_ended(given.sessions)))
    if given.kill_every:
        tasks.append(asyncio.create_task(demo.kill_every(given.kill_every, given.kills)))
    showing = asyncio.create_task(
        show(picture, demo, terminal=sys.stdin.isatty() and sys.stdout.isatty())
    )
    try:
        await asyncio.wait({showing, *tasks[1:2]}, return_when=asyncio.FIRST_EXCEPTION)
        demo.quit.set()
        await showing
        for task in tasks:
            if task.done() and task.exception():
                raise task.exception() or RuntimeError
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await demo.close()
        await asyncio.to_thread(crew.dismiss)
        picture.take(crew.read())
    print(picture.line())
    print(f"{picture.completed} of {picture.sent} sessions are completed.")
    return 0 if given.sessions in {None, picture.completed} else 1


def main() -> int:
    """Read the arguments and the server's credentials, and run."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("RENSEI_PORT") or 8080))
    parser.add_argument("--workers", type=int, default=6, help="worker processes")
    parser.add_argument("--capacity", type=int, default=2, help="sessions a worker takes at once")
    parser.add_argument("--every", type=float, default=0.8, help="seconds between two webhooks")
    parser.add_argument("--step", type=float, default=1.5, help="seconds between two reports")
    parser.add_argument("--sessions", type=int, help="send so many, and end when all are completed")
    parser.add_argument("--kill-every", type=float, help="kill -9 a worker every so many seconds")
    parser.add_argument("--kills", type=int, help="stop killing after so many")
    given = parser.parse_args()
    home = Path(os.environ.get("RENSEI_HOME") or PROJECT / ".rensei")
    file = SecretFile(StateFolder(home), FILE)
    if not file.path.exists():
        print(f"There is no {file.path}. Start the server first: make run", file=sys.stderr)
        return 1
    secrets = file.read() | {
        name: os.environ[name] for name in (LINEAR, ORG, WORKER) if os.environ.get(name)
    }
    with tempfile.TemporaryDirectory(prefix="rensei-demo-") as folder:
        try:
            return asyncio.run(run(given, secrets, Path(folder)))
        except KeyboardInterrupt:
            return 0
        except RuntimeError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
