"""The job process: `python -m jobs`, never inside a web worker."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import logs
import settings
from auth import keyring
from domain.errors import Unavailable
from jobs.deliver_events import deliver_events
from jobs.end_batch_leases import end_batch_leases
from jobs.fetch_missed import fetch_missed
from jobs.file_checkpoints import file_checkpoints
from jobs.fold_counts import fold_counts
from jobs.fold_phases import fold_phases
from jobs.make_audit_months import make_audit_months
from jobs.number_events import number_events
from jobs.promote_parked import promote_parked
from jobs.prune import prune
from jobs.publish_checkpoints import post_checkpoints, stamp_checkpoints
from jobs.requeue_orphans import requeue_orphans
from jobs.seal_audit import seal_audit
from jobs.send_dispatches import send_dispatches
from jobs.send_outbox import send_outbox
from jobs.start_assigned import start_assigned
from jobs.tell_clients import tell_clients
from persistence import database
from persistence.ephemeral import nudges, store

EVENTS_SECONDS: Final = 2.0
PARKED_SECONDS: Final = 1.0
LEASES_SECONDS: Final = 1.0
COUNTS_SECONDS: Final = 2.0
PRUNE_SECONDS: Final = 60.0
MISSED_SECONDS: Final = 30.0
OUTBOX_SECONDS: Final = 2.0
DISPATCHES_SECONDS: Final = 1.0
SEAL_SECONDS: Final = 0.4
CHECKPOINTS_SECONDS: Final = 5.0
PUBLISH_SECONDS: Final = 10.0
MONTHS_SECONDS: Final = 3600.0
AWAY_SECONDS: Final = 1.0
STOP_SECONDS: Final = 2.0

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
            _drive(promote_parked, stop, lambda: nudges.wait(nudges.PARKED, PARKED_SECONDS)),
            _drive(start_assigned, stop, lambda: asyncio.sleep(EVENTS_SECONDS)),
            _drive(requeue_orphans, stop, lambda: asyncio.sleep(LEASES_SECONDS)),
            _drive(end_batch_leases, stop, lambda: asyncio.sleep(LEASES_SECONDS)),
            _drive(fold_counts, stop, lambda: asyncio.sleep(COUNTS_SECONDS)),
            _drive(fold_phases, stop, lambda: asyncio.sleep(COUNTS_SECONDS)),
            _drive(number_events, stop, lambda: asyncio.sleep(COUNTS_SECONDS)),
            _drive(prune, stop, lambda: asyncio.sleep(PRUNE_SECONDS)),
            _drive(fetch_missed, stop, lambda: asyncio.sleep(MISSED_SECONDS)),
            _drive(seal_audit, stop, lambda: asyncio.sleep(SEAL_SECONDS)),
            _drive(file_checkpoints, stop, lambda: asyncio.sleep(CHECKPOINTS_SECONDS)),
            _drive(post_checkpoints, stop, lambda: asyncio.sleep(PUBLISH_SECONDS)),
            _drive(stamp_checkpoints, stop, lambda: asyncio.sleep(PUBLISH_SECONDS)),
            _drive(make_audit_months, stop, lambda: asyncio.sleep(MONTHS_SECONDS)),
            _drive(
                send_dispatches, stop, lambda: nudges.wait(nudges.DISPATCHES, DISPATCHES_SECONDS)
            ),
            _drive(tell_clients, stop, lambda: asyncio.sleep(DISPATCHES_SECONDS)),
            _drive(send_outbox, stop, lambda: nudges.wait(nudges.OUTBOX, OUTBOX_SECONDS)),
        )
    finally:
        await store.disconnect()
        await database.disconnect()


async def _drive(
    job: Callable[[], Awaitable[int]], stop: asyncio.Event, pause: Callable[[], Awaitable[None]]
) -> None:
    """Run a job, pause, run it again, until told to stop.

    Being told to stop cuts a pause at once. A job in hand gets two seconds: each of its steps is a
    transaction that commits as a whole or not at all.
    """
    while not stop.is_set():
        next_pause = pause
        running = asyncio.ensure_future(job())
        await _first(running, stop, STOP_SECONDS)
        try:
            await running
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
        except Unavailable:
            next_pause = _away
        except Exception:
            _log.exception("%s failed; it runs again", job.__name__)
        if not stop.is_set():
            pausing = asyncio.ensure_future(next_pause())
            await _first(pausing, stop, 0)
            await asyncio.gather(pausing, return_exceptions=True)


async def _first(task: "asyncio.Future[Any]", stop: asyncio.Event, grace_seconds: float) -> None:
    """Wait for a task; when `stop` comes first, cancel it after the grace."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=grace_seconds)
        task.cancel()
    await asyncio.gather(stopping, return_exceptions=True)


async def _away() -> None:
    await asyncio.sleep(AWAY_SECONDS)


if __name__ == "__main__":
    logs.to_stderr("jobs")
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
