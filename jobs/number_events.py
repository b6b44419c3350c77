"""What became of sessions is numbered soon after it could be seen."""

from persistence import session_events


async def number_events() -> int:
    """Number all events that streams have not numbered; returns how many there were."""
    count = 0
    while numbered := await session_events.number():
        count += numbered
    return count
