"""Machine-to-machine clients. Only the SHA-256 of a secret is kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy import func as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from persistence.paging import Page, page
from persistence.tables import m2m_clients


async def create(
    db: AsyncConnection,
    org_id: str,
    client_id: str,
    name: str,
    secret_hash: bytes,
    scopes: list[str],
) -> Row[Any]:
    made = await db.execute(
        insert(m2m_clients)
        .values(id=client_id, org_id=org_id, name=name, secret_hash=secret_hash, scopes=scopes)
        .returning(*m2m_clients.c)
    )
    return made.one()


async def find_alive(db: AsyncConnection, client_id: str) -> Row[Any] | None:
    """The client while it is not revoked; its id is what tells the organization."""
    return (
        await db.execute(
            select(m2m_clients).where(
                m2m_clients.c.id == client_id, m2m_clients.c.revoked_at.is_(None)
            )
        )
    ).one_or_none()


async def list_page(db: AsyncConnection, org_id: str, limit: int, cursor: str | None) -> Page:
    return await page(
        db,
        select(m2m_clients).where(m2m_clients.c.org_id == org_id),
        m2m_clients.c.created_at,
        m2m_clients.c.id,
        limit,
        cursor,
    )


async def revoke(db: AsyncConnection, org_id: str, client_id: str) -> tuple[datetime, bool]:
    """End a client; returns when, and whether it was alive till now. Raises `NotFound`."""
    mine = (m2m_clients.c.org_id == org_id) & (m2m_clients.c.id == client_id)
    ended = (
        await db.execute(
            update(m2m_clients)
            .where(mine, m2m_clients.c.revoked_at.is_(None))
            .values(revoked_at=sql.now())
            .returning(m2m_clients.c.revoked_at)
        )
    ).scalar_one_or_none()
    if ended is not None:
        return ended, True
    before = await db.scalar(select(m2m_clients.c.revoked_at).where(mine))
    if before is None:
        raise NotFound("Client not found")
    return before, False
