"""Credentials for agents. Only ciphertext comes here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, select, text, update
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.credentials import Scope
from domain.errors import NotFound
from persistence import database
from persistence.paging import Page, page
from persistence.tables import credential_feeds, credential_rotations, credentials

NOT_YET: Final = b""
"""What a new row holds until its ciphertext, which its id is part of, is put there."""


async def hold_place(
    db: AsyncConnection,
    org_id: str,
    kind: str,
    project_id: str | None,
    env_name: str | None,
    new_id: str,
) -> str:
    """The id of the one credential of a kind for a project and environment, made if there is none.

    Its row is held until the end, so that two who set it at once do so one after the other.
    """
    held = (
        upsert(credentials)
        .values(
            org_id=org_id,
            id=new_id,
            kind=kind,
            project_id=project_id,
            env_name=env_name,
            names=[],
            sealed=NOT_YET,
            data_key=NOT_YET,
        )
        .on_conflict_do_update(
            constraint="credentials_place_key", set_={"updated_at": sql.clock_timestamp()}
        )
        .returning(credentials.c.id)
    )
    return str(await db.scalar(held))


async def put(
    db: AsyncConnection,
    org_id: str,
    credential_id: str,
    names: Sequence[str],
    sealed: bytes,
    data_key: bytes,
) -> Row[Any]:
    """Store the ciphertext of a credential whose row is held."""
    changed = await db.execute(
        update(credentials)
        .where(credentials.c.org_id == org_id, credentials.c.id == credential_id)
        .values(names=list(names), sealed=sealed, data_key=data_key)
        .returning(*credentials.c)
    )
    return changed.one()


async def list_page(db: AsyncConnection, org_id: str, limit: int, cursor: str | None) -> Page:
    return await page(
        db,
        select(credentials).where(credentials.c.org_id == org_id),
        credentials.c.created_at,
        credentials.c.id,
        limit,
        cursor,
    )


async def remove(db: AsyncConnection, org_id: str, credential_id: str) -> Row[Any]:
    """Remove a credential and return it; raises `NotFound`."""
    gone = (
        await db.execute(
            delete(credentials)
            .where(credentials.c.org_id == org_id, credentials.c.id == credential_id)
            .returning(*credentials.c)
        )
    ).one_or_none()
    if gone is None:
        raise NotFound("Credential not found")
    return gone


async def of_kind(db: AsyncConnection, org_id: str, kind: str) -> list[Row[Any]]:
    """Every credential of a kind, of all projects and environments."""
    return list(
        await db.execute(
            select(credentials).where(credentials.c.org_id == org_id, credentials.c.kind == kind)
        )
    )


async def rotate(db: AsyncConnection, org_id: str, kind: str) -> Row[Any]:
    """Number a rotation; returns its `number` and `rotated_at`."""
    feed = upsert(credential_feeds).values(org_id=org_id, last_number=1)
    number = await db.scalar(
        feed.on_conflict_do_update(
            index_elements=["org_id"], set_={"last_number": credential_feeds.c.last_number + 1}
        ).returning(credential_feeds.c.last_number)
    )
    # By the clock, since the transaction may have waited for another rotation.
    values = {"number": number, "rotated_at": sql.clock_timestamp()}
    done = await db.execute(
        upsert(credential_rotations)
        .values(org_id=org_id, kind=kind, **values)
        .on_conflict_do_update(index_elements=["org_id", "kind"], set_=values)
        .returning(credential_rotations.c.number, credential_rotations.c.rotated_at)
    )
    return done.one()


SNAPSHOT: Final = """
select now() as now,
       coalesce((select f.last_number from credential_feeds f where f.org_id = :org), 0)
         as last_number,
       c.*
  from (select 1) one
  left join credentials c
    on c.org_id = :org
   and (c.project_id is null or c.project_id = :project)
   and (c.env_name is null or c.env_name = :env)
"""

ROTATED: Final = """
select r.org_id, r.kind, r.number, r.rotated_at
  from unnest(%(orgs)s::text[], %(after)s::bigint[]) as w (org_id, after)
  join credential_rotations r on r.org_id = w.org_id and r.number > w.after
 order by r.org_id, r.number
"""

PRESENT: Final = """
select c.*
  from credentials c
 where c.org_id = any (%(orgs)s::text[])
   and (c.project_id is null or c.project_id = any (%(projects)s::text[]))
   and (c.env_name is null or c.env_name = any (%(envs)s::text[]))
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The sealed credentials of a scope, the instant, and the number of the last rotation."""

    rows: Sequence[Any]
    now: Any
    last_number: int


async def snapshot(db: AsyncConnection, scope: Scope) -> Snapshot:
    """What a scope is given, all seen at one moment, in one round trip."""
    found = await db.execute(
        text(SNAPSHOT), {"org": scope.org_id, "project": scope.project_id, "env": scope.env_name}
    )
    rows = found.all()
    stored = [row for row in rows if row.id is not None]
    return Snapshot(stored, rows[0].now, rows[0].last_number)


async def rotated(after: dict[str, int]) -> Sequence[Any]:
    """The rotations of organizations after a number each, in their order."""
    return await database.hot(ROTATED, {"orgs": list(after), "after": list(after.values())})


async def present(scopes: Sequence[Scope]) -> Sequence[Any]:
    """The sealed credentials that concern some of the scopes; their organizations still differ."""
    return await database.hot(
        PRESENT,
        {
            "orgs": list({scope.org_id for scope in scopes}),
            "projects": list({scope.project_id for scope in scopes}),
            "envs": list({scope.env_name for scope in scopes}),
        },
    )
