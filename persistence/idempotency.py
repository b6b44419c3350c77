"""What was answered to requests that carry an `Idempotency-Key`."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import idempotency_keys

KEPT_HOURS: Final = 24
MOST_PRUNED: Final = 1000

# By their places: an answer that is replaced meanwhile lies elsewhere, and stays.
PRUNE: Final = f"""
with gone as (
  delete from idempotency_keys where ctid = any (array(
    select ctid from idempotency_keys
     where created_at <= now() - interval '{KEPT_HOURS} hours'
     order by created_at
     limit {MOST_PRUNED}))
  returning 1
)
select count(*) as count from gone
"""

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


async def prune() -> int:
    """Remove up to a thousand answers that are older than a day; returns how many."""
    (row,) = await database.hot(PRUNE, {})
    return int(row.count)
