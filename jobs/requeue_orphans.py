"""Sessions whose lease has ended go back to the queue."""

import settings
from persistence import leases


async def requeue_orphans() -> int:
    """End every lease that is over; returns how many."""
    now = settings.current()
    return len(await leases.end_leases(now.lease_seconds, now.gap_seconds))
