"""The keys that sign the chains: public parts that stay for good, private parts apart."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import audit_chains, audit_key_secrets, audit_keys

_OF_WORKSPACE: Final = """
select kid, workspace_id, public_key, created_at, revoked_at from audit_keys
where workspace_id = %(workspace)s order by created_at, kid
"""


async def list_of(workspace_id: str) -> list[Any]:
    """The public parts of all keys a workspace ever had; an unknown workspace has none."""
    return list(await database.hot(_OF_WORKSPACE, {"workspace": workspace_id}))


async def active(db: AsyncConnection, workspaces: Collection[str]) -> list[Row[Any]]:
    """(kid, workspace_id, secret_encrypted) of the keys that sign now."""
    query = (
        select(audit_keys.c.kid, audit_keys.c.workspace_id, audit_key_secrets.c.secret_encrypted)
        .join(audit_key_secrets, audit_key_secrets.c.kid == audit_keys.c.kid)
        .where(
            audit_keys.c.workspace_id == text("any(:workspaces)"), audit_keys.c.revoked_at.is_(None)
        )
    )
    return list(await db.execute(query, {"workspaces": list(workspaces)}))


async def create(
    db: AsyncConnection, workspace_id: str, kid: str, public_key: bytes, secret_encrypted: bytes
) -> None:
    """Add a key, valid from now. Without `revoke` before it, the workspace must have none."""
    await db.execute(
        insert(audit_keys).values(
            kid=kid,
            workspace_id=workspace_id,
            public_key=public_key,
            created_at=func.clock_timestamp(),
        )
    )
    # Whoever makes a secret may not be allowed to read any.
    await db.execute(
        insert(audit_key_secrets).inline().values(kid=kid, secret_encrypted=secret_encrypted)
    )


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
