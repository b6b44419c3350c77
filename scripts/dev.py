"""The server while it is worked on: `python scripts/dev.py` runs it and follows every change.

A change is checked before anything is touched: what the contract lacks is said in plain words and
the server goes on as it was. Then only what the change concerns starts anew: the web processes,
the job process, or the whole server with its stores. `--check` only checks.
"""

import argparse
import asyncio
import importlib
import os
import signal
import sys
import time
import traceback
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

# Started as a file, Python looks beside it and not in the root, where the project is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil  # type: ignore[import-untyped]  # it brings no types
from watchfiles import Change, DefaultFilter, awatch

from supervisor import address
from supervisor.parent_death import tie_to_this_process

ROOT: Final = Path(__file__).resolve().parent.parent
CONTRACT: Final = "openapi/rensei-api.yaml"
SUFFIXES: Final = (".py", ".yaml", ".sql", ".html", ".css", ".js")

UNWATCHED: Final = {"tests", "bench", "scripts", "docs", "requirements", "build", "node_modules"}
WHOLE: Final = (
    "supervisor/",
    "settings.py",
    "logs.py",
    "persistence/migrations/",
    "persistence/demo.py",
)
"""What the supervisor itself has read, or what changes the database before anything serves."""
WEB_ONLY: Final = ("openapi/", "contract/", "handlers/", "pages/", "app.py")
JOBS_ONLY: Final = ("jobs/",)

HOPELESS: Final = {2, 3, 4}
"""Exit codes of the supervisor that no change of the code mends: settings, folder, port."""

QUIET_MS: Final = 100
RELOAD_SECONDS: Final = 20.0


def say(text: str) -> None:
    """One line that can be told from the server's own."""
    print(f"dev: {text}", flush=True)


# --- The check, in a process of its own, since this one has read the code as it was --------------


def problems(root: Path) -> Iterator[str]:
    """What keeps the tree under `root` from being served, each with what to do about it."""
    import contract
    from scripts import handler_source

    try:
        operations = contract.load(root / CONTRACT).operations
        written = {handler.name for handler in handler_source.read_folder(root / "handlers")}
    except contract.ContractError as error:
        yield from error.problems
        return
    except handler_source.Unreadable as error:
        yield str(error)
        return
    missing = [each.id for each in operations if contract.snake(each.id) not in written]
    for operation_id in missing:
        yield (
            f"{CONTRACT} names {operation_id}, and no module of handlers/ has "
            f"`async def {contract.snake(operation_id)}`: add it"
        )
    from auth.scopes import RULES

    undecided = [each.id for each in operations if each.id not in RULES]
    for operation_id in undecided:
        yield (
            f"{CONTRACT} names {operation_id}, and RULES in auth/scopes.py does not: add its rule"
        )
    if not missing and not undecided:
        yield from _problems_of_the_whole()


def _problems_of_the_whole() -> Iterator[str]:
    """What is left once everything has its name: build the application, without its stores."""
    import contract
    import settings
    from app import create_app

    try:
        create_app(
            settings.Settings(
                master_key=settings.Secret("0" * 64), web_database_url="postgresql://nowhere/none"
            )
        )
    except contract.ContractError as error:
        yield from error.problems
    importlib.import_module("jobs.__main__")


def check() -> int:
    """Print the problems of this tree; the exit status is 1 when there are any."""
    try:
        found = list(problems(ROOT))
    except Exception as error:
        found = [_place(error)]
    for each in found:
        say(each)
    return 1 if found else 0


def _place(error: Exception) -> str:
    """An error of the code in one line, with the last place of ours that it passed."""
    told = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.relpath(error.filename, ROOT)}:{error.lineno}: {told}; correct it"
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT) and ".venv" not in frame.filename
    ]
    where = f"{os.path.relpath(ours[-1].filename, ROOT)}:{ours[-1].lineno}: " if ours else ""
    return f"{where}{told}; correct it"


# --- The server -----------------------------------------------------------------------------------


class Server:
    """The supervisor as a child, and its parts by their process ids."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self.ended: asyncio.Task[int] | None = None

    @property
    def running(self) -> bool:
        """Whether the supervisor runs."""
        return self._child is not None and self._child.returncode is None

    async def start(self) -> None:
        """Start it; it says itself when it is ready."""
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "supervisor"),
            cwd=ROOT,
            # New web processes must read the code anew (`supervisor/gunicorn_conf.py`).
            env={**os.environ, "RENSEI_LOADS_ONCE": "no"},
            # Ctrl-C reaches only this process, which passes it on.
            start_new_session=True,
            # Safe here: it calls nothing but prctl and getppid, and takes no lock.
            preexec_fn=tie_to_this_process(signal.SIGTERM),
        )
        self.ended = asyncio.create_task(self._child.wait())

    def ask_to_stop(self) -> None:
        """Begin to stop it; asked twice, it hurries."""
        if self.running and self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """Stop it and wait until it has."""
        self.ask_to_stop()
        if self.ended is not None:
            await self.ended

    async def reload_web(self) -> bool:
        """Let the web processes give way to new ones; whether those came up."""
        arbiter = self._part("gunicorn")
        if arbiter is None:
            return False
        before = {each.pid for each in arbiter.children()}
        arbiter.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_SECONDS
        while time.monotonic() < deadline and self.running:
            await asyncio.sleep(0.05)
            with suppress(psutil.Error):
                now = {each.pid for each in arbiter.children()}
                if now and not now & before and await asyncio.to_thread(_healthy):
                    return True
        return False

    def restart_jobs(self) -> None:
        """End the job process; the supervisor starts it again."""
        jobs = self._part("jobs")
        if jobs is not None:
            jobs.send_signal(signal.SIGTERM)

    def _part(self, module: str) -> Any:
        """The child of the supervisor that runs this module."""
        if self._child is not None:
            with suppress(psutil.Error):
                for each in psutil.Process(self._child.pid).children():
                    if each.cmdline()[1:3] == ["-m", module]:
                        return each
        return None


def _healthy() -> bool:
    host = os.environ.get("RENSEI_HOST") or "127.0.0.1"
    port = int(os.environ.get("RENSEI_PORT") or 8080)
    url = address.local_url(host, port) + address.HEALTH
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


# --- The changes ----------------------------------------------------------------------------------


class Sources(DefaultFilter):
    """Files that the server is made of; caches, the environment and the state folder are none."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, ".rensei", *UNWATCHED)

    def __call__(self, change: Change, path: str) -> bool:
        """Whether this change can matter."""
        return path.endswith(SUFFIXES) and super().__call__(change, path)


def watched_folders() -> list[Path]:
    """The folders of the root that hold sources."""
    return [
        each
        for each in sorted(ROOT.iterdir())
        if each.is_dir() and not each.name.startswith((".", "__")) and each.name not in UNWATCHED
    ]


async def changes() -> AsyncIterator[set[str]]:
    """Paths relative to the root, as they change, those of one moment together."""
    queue: asyncio.Queue[set[str]] = asyncio.Queue()

    async def watch(*places: Path, recursive: bool) -> None:
        async for batch in awatch(
            *places, watch_filter=Sources(), step=QUIET_MS, recursive=recursive
        ):
            queue.put_nowait({Path(path).relative_to(ROOT).as_posix() for _, path in batch})

    # The root itself is not watched below: it holds the environment and the state folder.
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(ROOT, recursive=False))
        group.create_task(watch(*watched_folders(), recursive=True))
        while True:
            changed = await queue.get()
            while not queue.empty():
                changed |= queue.get_nowait()
            yield changed


async def follow(server: Server) -> int:
    """Serve, and follow the changes, until the server ends by itself; answers its exit code."""
    begun = False
    coming = changes()
    changed: set[str] = set()
    while True:
        if await _is_sound():
            if begun and server.running:
                await _renew(server, changed)
            else:
                await server.start()
                begun = True
            changed = set()
        elif server.running:
            say("The server goes on as it was.")
        else:
            say("The server starts as soon as this is mended.")
        more = await _next(coming, server)
        if not more:
            return await server.ended if server.ended is not None else 1
        changed |= more


async def _next(coming: AsyncIterator[set[str]], server: Server) -> set[str]:
    """The next change; empty when the server has ended in a way that no change mends."""
    waiting = asyncio.ensure_future(anext(coming))
    if server.running and server.ended is not None:
        await asyncio.wait({waiting, server.ended}, return_when=asyncio.FIRST_COMPLETED)
        if server.ended.done() and not waiting.done():
            if server.ended.result() in HOPELESS:
                waiting.cancel()
                with suppress(asyncio.CancelledError):
                    await waiting
                return set()
            say("The server has ended; it starts again at the next change.")
    return await waiting


async def _is_sound() -> bool:
    """Check the tree as it is now; the check itself says what it finds."""
    checking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", str(ROOT / "scripts" / "dev.py"), "--check"), cwd=ROOT
    )
    return await checking.wait() == 0


async def _renew(server: Server, changed: set[str]) -> None:
    """Start anew what the change concerns, and nothing else."""
    began = time.monotonic()
    shown = ", ".join(sorted(changed)[:3]) + (" …" if len(changed) > 3 else "")
    if any(path.startswith(WHOLE) for path in changed):
        say(f"{shown} changed: the whole server starts anew.")
        await server.stop()
        await server.start()
        return
    for_jobs = any(not path.startswith(WEB_ONLY) for path in changed)
    for_web = any(not path.startswith(JOBS_ONLY) for path in changed)
    if for_jobs:
        server.restart_jobs()
    if for_web and not await server.reload_web():
        say("The web did not come up again; the reason stands above.")
        return
    parts = " and ".join(["the web"] * for_web + ["the jobs"] * for_jobs)
    say(f"{shown} changed: {parts} started anew in {time.monotonic() - began:.1f} s.")


async def run() -> int:
    """Follow the changes until Ctrl-C."""
    server = Server()
    following = asyncio.create_task(follow(server))

    def stop() -> None:
        server.ask_to_stop()
        following.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await following
    except asyncio.CancelledError:
        return 0
    finally:
        await server.stop()


def main() -> int:
    """Run the command; answers its exit status."""
    parser = argparse.ArgumentParser(description="Run the server and follow every change.")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    return check() if parser.parse_args().check else asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
