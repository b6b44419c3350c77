"""What the agents of interviews said is dropped when it has been kept long enough."""

import settings
from persistence import interview_frames


async def prune_frames() -> int:
    """Drop the frames of all old turns; returns how many turns there were."""
    count = 0
    while pruned := await interview_frames.prune(settings.current().frames_kept_seconds):
        count += pruned
    return count
