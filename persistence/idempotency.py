"""What was answered to requests that carry an `Idempotency-Key`."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import idempotency_keys

KEPT_HOURS: Final = 24
MOST_AT_ONCE: Final = 1000

Key = tuple[str, str, str, str]
"""The organization, the caller, the operation, and the key that the caller made up."""


async def take_turn(db: AsyncConnection, key: Key) -> bool:
    """Hold a key until the end of the transaction; False while another transaction does."""
    taken = await db.scalar(
        select(func.pg_try_advisory_xact_lock(func.hashtextextended("\n".join(key), 0)))
    )
    return bool(taken)


def _of(key: Key) -> ColumnElement[bool]:
    org_id, caller_id, operation_id, sent = key
    return and_(
        idempotency_keys.c.org_id == org_id,
        idempotency_keys.c.caller_id == caller_id,
        idempotency_keys.c.operation_id == operation_id,
        idempotency_keys.c.key == sent,
    )


_KEPT: Final = database.NOW - func.make_interval(0, 0, 0, 0, KEPT_HOURS)


async def find(db: AsyncConnection, key: Key) -> Row[Any] | None:
    """What was answered under a key within the last day."""
    return (
        await db.execute(
            select(idempotency_keys).where(_of(key), idempotency_keys.c.created_at > _KEPT)
        )
    ).one_or_none()


async def keep(
    db: AsyncConnection, key: Key, request_hash: bytes, status: int, answer: Any
) -> None:
    """Store an answer under a key; one older than a day is replaced."""
    org_id, caller_id, operation_id, sent = key
    values = {"request_hash": request_hash, "status": status, "answer": answer}
    await db.execute(
        upsert(idempotency_keys)
        .values(org_id=org_id, caller_id=caller_id, operation_id=operation_id, key=sent, **values)
        .on_conflict_do_update(
            index_elements=["org_id", "caller_id", "operation_id", "key"],
            set_={**values, "created_at": database.NOW},
        )
    )


async def forget(db: AsyncConnection) -> int:
    """Delete up to a thousand answers that are older than a day; returns how many."""
    row: ColumnElement[Any] = literal_column("ctid")
    old = (
        select(row)
        .select_from(idempotency_keys)
        .where(idempotency_keys.c.created_at <= _KEPT)
        .limit(MOST_AT_ONCE)
    )
    done = await db.execute(delete(idempotency_keys).where(row.in_(old)))
    return int(done.rowcount)
