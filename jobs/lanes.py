"""Several lanes of one job, side by side."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def total(lanes: Iterable[Coroutine[Any, Any, int]]) -> int:
    """Run each lane to its end; the sum of what they did, or the first error of any."""
    counts = await asyncio.gather(*lanes, return_exceptions=True)
    for count in counts:
        if isinstance(count, BaseException):
            raise count
    return sum(count for count in counts if isinstance(count, int))
