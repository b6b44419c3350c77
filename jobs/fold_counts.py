"""The noted changes of sessions become counts by day."""

from persistence import public_stats


async def fold_counts() -> int:
    """Fold until no note is left; returns how many there were."""
    count = 0
    while folded := await public_stats.fold():
        count += folded
    return count
