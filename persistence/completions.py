"""The texts that conclude sessions."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import completions


async def store(
    db: AsyncConnection,
    org_id: str,
    session_id: str,
    lease_epoch: int,
    body_hash: bytes,
    summary: str,
    plan_items: list[Any] | None,
) -> bool:
    """Store a summary; False when the same body was stored within this attempt already."""
    made = await db.execute(
        upsert(completions)
        .values(
            org_id=org_id,
            session_id=session_id,
            lease_epoch=lease_epoch,
            body_hash=body_hash,
            summary=summary,
            plan_items=plan_items,
        )
        .on_conflict_do_nothing()
        .returning(completions.c.session_id)
    )
    return made.one_or_none() is not None
