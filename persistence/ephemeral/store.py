"""The connection to Redis or Valkey. Every call through it may fail without harm."""

import asyncio
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

TIMEOUT_SECONDS: Final = 0.5
AWAY: Final = (RedisError, OSError, asyncio.TimeoutError)

_redis: "Redis | None" = None


def connect(url: str | None) -> None:
    """Remember where Redis is; nothing is dialled before the first call."""
    global _redis
    _redis = (
        Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            decode_responses=True,
        )
        if url
        else None
    )


async def disconnect() -> None:
    global _redis
    if _redis is not None:
        redis, _redis = _redis, None
        await redis.aclose()


def current() -> "Redis | None":
    """The client, or None when this process was given no Redis."""
    return _redis


async def is_up() -> bool:
    """Whether Redis answers."""
    if _redis is None:
        return False
    try:
        return bool(await _redis.ping())
    except AWAY:
        return False
