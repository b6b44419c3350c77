"""Whom the encrypted members of audit payloads are about."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import psycopg
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import audit_subjects

_ADD: Final = """
insert into audit_subjects (workspace_id, id, digest, key_encrypted)
select * from unnest(%(workspaces)s::text[], %(ids)s::text[], %(digests)s::bytea[],
  %(keys)s::bytea[])
on conflict do nothing
"""

_FIND: Final = """
select workspace_id, id, digest, key_encrypted from audit_subjects
where (workspace_id, digest) in (
  select * from unnest(%(workspaces)s::text[], %(digests)s::bytea[])
)
"""

Place = tuple[str, bytes]
"""(workspace, digest) of a subject."""


async def find(db: psycopg.AsyncConnection[Any], places: Collection[Place]) -> dict[Place, Any]:
    """The subjects that are known, by workspace and digest."""
    rows = await db.execute(
        _FIND,
        {"workspaces": [each[0] for each in places], "digests": [each[1] for each in places]},
    )
    return {(row.workspace_id, row.digest): row for row in await rows.fetchall()}


async def add(db: psycopg.AsyncConnection[Any], made: Mapping[Place, tuple[str, bytes]]) -> None:
    """Add subjects, each an id and its key, sealed."""
    await db.execute(
        _ADD,
        {
            "workspaces": [workspace for workspace, _ in made],
            "digests": [digest for _, digest in made],
            "ids": [id_ for id_, _ in made.values()],
            "keys": [key for _, key in made.values()],
        },
    )


async def keys_of(db: AsyncConnection, workspace_id: str, ids: Collection[str]) -> dict[str, bytes]:
    """The sealed keys of those of these subjects that were not forgotten."""
    rows = await db.execute(
        select(audit_subjects.c.id, audit_subjects.c.key_encrypted).where(
            audit_subjects.c.workspace_id == workspace_id, audit_subjects.c.id.in_(list(ids))
        )
    )
    return {row.id: row.key_encrypted for row in rows}


async def forget(db: AsyncConnection, workspace_id: str, digest: bytes) -> str | None:
    """Delete a subject's key for good; returns its id, None when nothing was known of it."""
    gone = await db.execute(
        delete(audit_subjects)
        .where(audit_subjects.c.workspace_id == workspace_id, audit_subjects.c.digest == digest)
        .returning(audit_subjects.c.id)
    )
    found: str | None = gone.scalar_one_or_none()
    return found
