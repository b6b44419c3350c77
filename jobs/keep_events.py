"""What became of sessions is numbered soon, and dropped when it has been kept long enough."""

import settings
from persistence import session_events


async def number_events() -> int:
    """Number all events that streams have not numbered; returns how many there were."""
    count = 0
    while numbered := await session_events.number():
        count += numbered
    return count


async def prune_events() -> int:
    """Drop all old events; returns how many there were."""
    count = 0
    while pruned := await session_events.prune(settings.current().events_kept_seconds):
        count += pruned
    return count
