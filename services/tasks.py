"""Ending what runs beside."""

import asyncio
from typing import Any, Final

AGAIN_SECONDS: Final = 0.1


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a cancellation that comes together with the connection that a task waits for
    is lost in the pool (`asyncio.wait_for` before Python 3.12), and the task goes on.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
