"""The keys that sign the chains: public parts that stay for good, private parts apart."""

from typing import Any, Final

import psycopg
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import audit_chains, audit_keys

_OF_WORKSPACE: Final = """
select kid, workspace_id, public_key, created_at, revoked_at from audit_keys
where workspace_id = %(workspace)s order by created_at, kid
"""

# Whoever makes a secret may not be allowed to read any.
_CREATE: Final = """
with made as (
  insert into audit_key_secrets (kid, secret_encrypted) values (%(kid)s, %(secret)s)
)
insert into audit_keys (kid, workspace_id, public_key, created_at)
values (%(kid)s, %(workspace)s, %(public)s, clock_timestamp())
"""

_ONE_AT_A_TIME: Final = text("select pg_advisory_xact_lock(hashtextextended(:place, 0))")


async def list_of(workspace_id: str) -> list[Any]:
    """The public parts of all keys a workspace ever had; an unknown workspace has none."""
    return list(await database.hot(_OF_WORKSPACE, {"workspace": workspace_id}))


async def create_hot(
    db: psycopg.AsyncConnection[Any],
    workspace_id: str,
    kid: str,
    public_key: bytes,
    secret_encrypted: bytes,
) -> None:
    """`create`, in the sealer's transaction."""
    await db.execute(
        _CREATE,
        {
            "kid": kid,
            "workspace": workspace_id,
            "public": public_key,
            "secret": secret_encrypted,
        },
    )


async def create(
    db: AsyncConnection, workspace_id: str, kid: str, public_key: bytes, secret_encrypted: bytes
) -> None:
    """Add a key, valid from now. Without `revoke` before it, the workspace must have none."""
    await db.exec_driver_sql(
        _CREATE,
        {
            "kid": kid,
            "workspace": workspace_id,
            "public": public_key,
            "secret": secret_encrypted,
        },
    )


async def count_of_last_hour(db: AsyncConnection, workspace_id: str) -> int:
    """How many keys a workspace has made within an hour; none is added until this transaction
    ends."""
    await db.execute(_ONE_AT_A_TIME, {"place": f"audit key/{workspace_id}"})
    counted = await db.scalar(
        select(func.count()).where(
            audit_keys.c.workspace_id == workspace_id,
            audit_keys.c.created_at > func.now() - text("interval '1 hour'"),
        )
    )
    return int(counted or 0)


async def revoke(db: AsyncConnection, workspace_id: str) -> str | None:
    """End the key that signs now; returns its id, None when there is none.

    Not before the last row that it signed, even if a clock was set back.
    """
    last = (
        select(audit_chains.c.head_at)
        .where(audit_chains.c.workspace_id == workspace_id)
        .scalar_subquery()
    )
    done = await db.execute(
        update(audit_keys)
        .where(audit_keys.c.workspace_id == workspace_id, audit_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.greatest(func.clock_timestamp(), last))
        .returning(audit_keys.c.kid)
    )
    kid: str | None = done.scalar_one_or_none()
    return kid
