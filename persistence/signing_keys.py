"""Keys that sign tokens, one active per purpose, encrypted under the master key."""

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import signing_keys


async def list_all(db: AsyncConnection) -> list[Row[Any]]:
    """Every key, the retired ones included: they still verify what they signed."""
    return list(await db.execute(select(signing_keys).order_by(signing_keys.c.created_at)))


async def create_if_none(
    db: AsyncConnection, purpose: str, kid: str, secret_encrypted: bytes
) -> bool:
    """Make the first key of a purpose; when several processes try, one of them does, and hears
    so."""
    made = await db.execute(
        upsert(signing_keys)
        .values(kid=kid, purpose=purpose, secret_encrypted=secret_encrypted)
        .on_conflict_do_nothing()
        .returning(signing_keys.c.kid)
    )
    return made.one_or_none() is not None
