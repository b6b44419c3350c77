"""What agents found out about their environment: broken tools, security scans."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database import NOW
from persistence.tables import security_scans, tool_errors


async def store_tool_error(
    db: AsyncConnection,
    session: Any,
    body_hash: bytes,
    tool_name: str,
    error_message: str,
    context: dict[str, Any] | None,
) -> bool:
    """Store a failed tool; False when the same body was stored within this attempt already."""
    made = await db.execute(
        upsert(tool_errors)
        .values(
            org_id=session.org_id,
            session_id=session.id,
            lease_epoch=session.lease_epoch,
            body_hash=body_hash,
            tool_name=tool_name,
            error_message=error_message,
            context=context or {},
        )
        .on_conflict_do_nothing()
        .returning(tool_errors.c.session_id)
    )
    return made.one_or_none() is not None


async def store_scan(db: AsyncConnection, session: Any, event: dict[str, Any]) -> None:
    """Store a scan under its own time stamp; a repeat replaces it."""
    row = upsert(security_scans).values(
        org_id=session.org_id, session_id=session.id, scanned_at=event["timestamp"], event=event
    )
    await db.execute(
        row.on_conflict_do_update(
            index_elements=["org_id", "session_id", "scanned_at"],
            set_={"event": row.excluded.event, "stored_at": NOW},
        )
    )
