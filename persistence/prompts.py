"""Prompts that were sent to sessions, so that a repeat is told from a new one."""

from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import prompts


async def find(
    db: AsyncConnection, org_id: str, session_id: str, idempotency_key: str
) -> Row[Any] | None:
    """The prompt sent under this key, if any."""
    return (
        await db.execute(
            select(prompts).where(
                prompts.c.org_id == org_id,
                prompts.c.session_id == session_id,
                prompts.c.idempotency_key == idempotency_key,
            )
        )
    ).one_or_none()


async def add(
    db: AsyncConnection,
    org_id: str,
    session_id: str,
    prompt_id: str,
    idempotency_key: str | None,
    prompt_hash: bytes,
    turn_id: str | None,
) -> None:
    """Note a prompt of a session whose row is held."""
    await db.execute(
        insert(prompts).values(
            org_id=org_id,
            session_id=session_id,
            id=prompt_id,
            idempotency_key=idempotency_key,
            prompt_hash=prompt_hash,
            turn_id=turn_id,
        )
    )
