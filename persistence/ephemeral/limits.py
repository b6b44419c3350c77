"""How often one address may fail. Without Redis nobody is limited."""

from typing import Final

from persistence.ephemeral import store

WINDOW_SECONDS: Final = 60


async def count_failure(address: str) -> int:
    """Count one refused credential or signature; returns how many this minute, 0 without Redis."""
    redis = store.current()
    if redis is None:
        return 0
    name = f"rensei:failures:{address}"
    try:
        async with redis.pipeline(transaction=True) as pipe:
            pipe.incr(name)
            pipe.expire(name, WINDOW_SECONDS, nx=True)
            count, _ = await pipe.execute()
    except store.AWAY:
        return 0
    return int(count)
