"""The texts that conclude sessions."""

from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

STORE: Final = """
with called as (
  update sessions set confirmed = true, updated_at = now(), last_call_at = now()
   where org_id = %(org)s and id = %(session)s
)
insert into completions (org_id, session_id, lease_epoch, body_hash, summary, plan_items)
values (%(org)s, %(session)s, %(epoch)s, %(hash)s, %(summary)s, %(items)s::jsonb)
on conflict do nothing
returning session_id
"""


async def store(
    db: AsyncConnection,
    org_id: str,
    session_id: str,
    lease_epoch: int,
    body_hash: bytes,
    summary: str,
    plan_items: list[Any] | None,
) -> bool:
    """Store a summary, and note the call of the session, whose row is held; False when the same
    body was stored within this attempt already."""
    made = await db.exec_driver_sql(
        STORE,
        {
            "org": org_id,
            "session": session_id,
            "epoch": lease_epoch,
            "hash": body_hash,
            "summary": summary,
            "items": orjson.dumps(plan_items).decode(),
        },
    )
    return made.one_or_none() is not None
