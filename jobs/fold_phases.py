"""The issues that have something new are counted anew, phase by phase."""

from persistence import phase_metrics


async def fold_phases() -> int:
    """Fold until no note is left; returns how many there were."""
    count = 0
    while folded := await phase_metrics.fold():
        count += folded
    return count
