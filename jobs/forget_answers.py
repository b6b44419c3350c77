"""Answers kept for an `Idempotency-Key` are forgotten after a day."""

from persistence import database, idempotency


async def forget_answers() -> int:
    """Delete what is older than a day, up to a thousand; returns how many."""
    async with database.statement() as db:
        return await idempotency.forget(db)
