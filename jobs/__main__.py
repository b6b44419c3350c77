"""The job process: `python -m jobs`, never inside a web worker."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import settings
from auth import keyring
from domain.errors import Unavailable
from jobs.deliver_events import deliver_events
from jobs.requeue_orphans import requeue_orphans
from persistence import database
from persistence.ephemeral import nudges, store

EVENTS_SECONDS: Final = 2.0
LEASES_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 1.0

_log = logging.getLogger("jobs")


async def main() -> None:
    """Run every job on its clock until SIGTERM or SIGINT; what is in hand is finished."""
    now = settings.current()
    await database.connect(str(now.jobs_database_url))
    store.connect(now.redis_url)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        await asyncio.gather(
            _drive(deliver_events, stop, lambda: nudges.wait(nudges.EVENTS, EVENTS_SECONDS)),
            _drive(requeue_orphans, stop, lambda: asyncio.sleep(LEASES_SECONDS)),
        )
    finally:
        await store.disconnect()
        await database.disconnect()


async def _drive(
    job: Callable[[], Awaitable[int]], stop: asyncio.Event, pause: Callable[[], Awaitable[None]]
) -> None:
    """Run a job, pause, run it again. Being told to stop cuts the pause, never the job."""
    while not stop.is_set():
        try:
            await job()
        except Unavailable:
            await asyncio.sleep(AWAY_SECONDS)
        except Exception:
            _log.exception("%s failed; it runs again", job.__name__)
        pausing = asyncio.ensure_future(pause())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({pausing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (pausing, stopping):
            task.cancel()
        await asyncio.gather(pausing, stopping, return_exceptions=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    try:
        settings.use(settings.Settings.from_environment())
        keyring.start()
        if settings.current().jobs_database_url is None:
            raise settings.SettingsError(
                "RENSEI_JOBS_DATABASE_URL is missing. `make run` finds or makes one by itself."
            )
    except settings.SettingsError as error:
        sys.exit(f"jobs: {error}")
    asyncio.run(main())
