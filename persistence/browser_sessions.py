"""Browser sessions: an opaque cookie for an API key, ending with it."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import api_keys, browser_sessions

MOST_PRUNED: Final = 1000


async def create(
    db: AsyncConnection, org_id: str, key_id: str, token_hash: bytes, hours: int
) -> datetime:
    """Open a session of at most `hours`, and never longer than its key; returns its end."""
    ends = func.least(
        func.now() + func.make_interval(0, 0, 0, 0, hours),
        select(api_keys.c.expires_at)
        .where(api_keys.c.org_id == org_id, api_keys.c.id == key_id)
        .scalar_subquery(),
    )
    made = await db.execute(
        insert(browser_sessions)
        .values(token_hash=token_hash, org_id=org_id, key_id=key_id, expires_at=ends)
        .returning(browser_sessions.c.expires_at)
    )
    ends_at: datetime = made.scalar_one()
    return ends_at


async def find_key(db: AsyncConnection, token_hash: bytes) -> Row[Any] | None:
    """The row of the key behind a living session; the token is what tells the organization."""
    return (
        await db.execute(
            select(api_keys)
            .join(browser_sessions, browser_sessions.c.key_id == api_keys.c.id)
            .where(
                browser_sessions.c.token_hash == token_hash,
                browser_sessions.c.ended_at.is_(None),
                browser_sessions.c.expires_at > func.now(),
                api_keys.c.revoked_at.is_(None),
                or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now()),
            )
        )
    ).one_or_none()


async def end(db: AsyncConnection, org_id: str, token_hash: bytes) -> None:
    await db.execute(
        update(browser_sessions)
        .where(browser_sessions.c.org_id == org_id, browser_sessions.c.token_hash == token_hash)
        .values(ended_at=func.now())
    )


async def prune() -> int:
    """Remove up to a thousand sessions whose time is over; returns how many.

    By a function of the owner's: the job process may neither read these nor end one that lives.
    """
    (row,) = await database.hot(
        "select prune_browser_sessions(%(most)s) as count", {"most": MOST_PRUNED}
    )
    return int(row.count)
