"""Whether the server can serve."""

import asyncio

from domain.errors import Unavailable
from domain.version import VERSION
from handlers.replies import Reply
from persistence import database
from persistence.ephemeral import store


async def get_health() -> Reply:
    """Ask PostgreSQL and Redis; without PostgreSQL nothing can be served."""
    database_is_up, redis_is_up = await asyncio.gather(database.is_up(), store.is_up())
    if not database_is_up:
        raise Unavailable("The database cannot be reached; try again")
    return {
        "status": "ok",
        "version": VERSION,
        "database": "up",
        "redis": "up" if redis_is_up else "down",
    }, 200
