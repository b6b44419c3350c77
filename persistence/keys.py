"""API keys. Only the SHA-256 of a key is kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, or_, select, update
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound, Unauthenticated
from persistence.paging import Page, page
from persistence.tables import api_keys, projects, workers

NOW = sql.now()


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a key, in the audit log's word for it."""

    event_type: str
    org_id: str
    key_id: str


async def create(
    db: AsyncConnection,
    org_id: str,
    key_id: str,
    name: str,
    prefix: str,
    key_hash: bytes,
    scopes: list[str],
    project_ids: list[str] | None,
    expires_at: datetime | None,
) -> Row[Any]:
    """Store a new key and return its row."""
    made = await db.execute(
        insert(api_keys)
        .values(
            id=key_id,
            org_id=org_id,
            name=name,
            prefix=prefix,
            key_hash=key_hash,
            scopes=scopes,
            project_ids=project_ids,
            expires_at=expires_at,
        )
        .returning(*api_keys.c)
    )
    return made.one()


async def find_by_hash(db: AsyncConnection, key_hash: bytes) -> Row[Any] | None:
    """The key with this hash while it is neither revoked nor expired.

    The one query without an organization: the hash is what tells the organization.
    """
    return (
        await db.execute(
            select(api_keys).where(
                api_keys.c.key_hash == key_hash,
                api_keys.c.revoked_at.is_(None),
                or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > NOW),
            )
        )
    ).one_or_none()


async def hold_alive(db: AsyncConnection, org_id: str, key_id: str) -> datetime | None:
    """Hold a living key's row, so that a revocation waits for what is made with it.

    Returns when it expires; raises `Unauthenticated` when it has, or was revoked.
    """
    key = (
        await db.execute(
            select(api_keys.c.expires_at)
            .where(
                api_keys.c.org_id == org_id,
                api_keys.c.id == key_id,
                api_keys.c.revoked_at.is_(None),
                or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > NOW),
            )
            .with_for_update(read=True)
        )
    ).one_or_none()
    if key is None:
        raise Unauthenticated("The key is unknown, expired or revoked")
    expires_at: datetime | None = key.expires_at
    return expires_at


async def list_page(db: AsyncConnection, org_id: str, limit: int, cursor: str | None) -> Page:
    return await page(
        db,
        select(api_keys).where(api_keys.c.org_id == org_id),
        api_keys.c.created_at,
        api_keys.c.id,
        limit,
        cursor,
    )


async def revoke(db: AsyncConnection, org_id: str, key_id: str) -> tuple[datetime, bool]:
    """End a key and the workers it registered; returns when, and whether it was alive till now.

    Worker calls read their worker's row anyway, so marking the workers ends their runtime tokens
    at once without a further look-up per call. Raises `NotFound`.
    """
    ended = (
        await db.execute(
            update(api_keys)
            .where(
                api_keys.c.org_id == org_id,
                api_keys.c.id == key_id,
                api_keys.c.revoked_at.is_(None),
            )
            .values(revoked_at=NOW)
            .returning(api_keys.c.revoked_at)
        )
    ).scalar_one_or_none()
    if ended is not None:
        await db.execute(
            update(workers)
            .where(workers.c.org_id == org_id, workers.c.registration_id == key_id)
            .values(revoked_at=NOW)
        )
        return ended, True
    before = (
        await db.execute(
            select(api_keys.c.revoked_at).where(
                api_keys.c.org_id == org_id, api_keys.c.id == key_id
            )
        )
    ).scalar_one_or_none()
    if before is None:
        raise NotFound("Key not found")
    return before, False


async def put_deployment_key(
    db: AsyncConnection, key_hash: bytes | None, project_id: str | None
) -> list[Change]:
    """Make the deployment-wide worker key of the settings a row, and end every other such row.

    Returns what that changed, nothing when the keys are as they were at the last start. Raises
    `NotFound` when the project it is bound to does not exist.
    """
    stale = api_keys.c.is_deployment_key & api_keys.c.revoked_at.is_(None)
    if key_hash:
        stale &= api_keys.c.key_hash != key_hash
    ended = (
        await db.execute(
            update(api_keys)
            .where(stale)
            .values(revoked_at=NOW)
            .returning(api_keys.c.org_id, api_keys.c.id)
        )
    ).all()
    changes = [Change("api_key.revoked", row.org_id, row.id) for row in ended]
    if ended:
        await db.execute(
            update(workers)
            .where(workers.c.registration_id.in_([row.id for row in ended]))
            .values(revoked_at=NOW)
        )
    if key_hash is None:
        return changes
    org_id = await db.scalar(select(projects.c.org_id).where(projects.c.id == project_id))
    if org_id is None:
        raise NotFound(f"WORKER_API_KEY_PROJECT names no project: {project_id}")
    as_it_was = await db.scalar(
        select(api_keys.c.id).where(
            api_keys.c.key_hash == key_hash,
            api_keys.c.org_id == org_id,
            api_keys.c.project_ids == [project_id],
            api_keys.c.revoked_at.is_(None),
        )
    )
    if as_it_was is not None:
        return changes
    row = upsert(api_keys).values(
        id="key_deployment_" + key_hash.hex()[:16],
        org_id=org_id,
        name="WORKER_API_KEY",
        prefix="WORKER_API_KEY",
        key_hash=key_hash,
        scopes=["worker:register", "worker:poll", "worker:heartbeat", "worker:session"],
        project_ids=[project_id],
        is_deployment_key=True,
    )
    put = await db.scalar(
        row.on_conflict_do_update(
            index_elements=["key_hash"],
            set_={"org_id": org_id, "project_ids": [project_id], "revoked_at": None},
        ).returning(api_keys.c.id)
    )
    return [*changes, Change("api_key.minted", org_id, str(put))]
