"""Sessions as the worker protocol reads and writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    exists,
    select,
    true,
    update,
)
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from domain.principal import Principal
from persistence import database
from persistence.tables import sessions

ISSUE: Final = "issue"
"""What a session waits for that is parked behind another one of its issue."""

READ: Final = """
with alive as (
  select 1 where case
    when %(worker)s::text is null then exists (
      select 1 from api_keys k where k.id = %(registration)s and k.revoked_at is null)
    else exists (
      select 1 from workers w where w.id = %(worker)s and w.registration_id = %(registration)s
         and w.revoked_at is null)
    end
), renewed as (
  update sessions s set last_call_at = now(), confirmed = true
    from workers w, alive
   where s.org_id = %(org)s and s.id = %(session)s and s.slot_worker_id = w.id
     and w.registration_id = %(registration)s
     and (%(worker)s::text is null or w.id = %(worker)s)
     -- Clients read twice in five seconds; one write in five is enough for a lease.
     and (s.last_call_at < now() - interval '5 seconds' or not s.confirmed)
)
select exists (select 1 from alive) as alive, s.*
  from (select 1) one
  left join sessions s
    on s.org_id = %(org)s and s.id = %(session)s
   and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[]))
"""


_KEY: Final = ("org_id", "id")

# A write by a worker. Made by the toolkit it would cost more to make than to run.
LOCK: Final = """
select s.*, exists (
         select from workers w
          where w.id = coalesce(%(worker)s::text, s.worker_id, s.lost_by_worker_id)
            and w.org_id = s.org_id and w.project_id = s.project_id
            and w.registration_id = %(registration)s and w.revoked_at is null) as may_act
  from sessions s
 where s.org_id = %(org)s and s.id = %(session)s
   and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[]))
   for update of s
"""

HELD_SINCE: Final = """
select 1 from sessions s
  join workers w on w.id = s.worker_id
  -- A transfer stays within one registration and host.
  join workers c on c.id = %(worker)s
                and c.registration_id = w.registration_id and c.hostname = w.hostname
 where s.org_id = %(org)s and s.id = %(session)s and s.project_id = %(project)s
   and s.status in ('claimed', 'running', 'finalizing')
   and s.claimed_at <= %(claimed_at)s and w.revoked_at is null
"""


async def read(caller: Principal, session_id: str) -> Any:
    """The session's row beside `alive`, which says whether the credential still is; one round trip.

    Every column is None when the caller's projects hold no such session. Reading renews the lease
    when the caller holds the session.
    """
    rows = await database.hot(
        READ,
        {
            "org": caller.org_id,
            "session": session_id,
            "worker": caller.worker_id,
            "registration": caller.registration_id,
            "projects": None if caller.projects is None else list(caller.projects),
        },
    )
    return rows[0]


def _of(org_id: Any, session_id: Any) -> ColumnElement[bool]:
    return and_(sessions.c.org_id == org_id, sessions.c.id == session_id)


async def lock(
    db: AsyncConnection, caller: Principal, session_id: str, worker_id: str | None
) -> Row[Any] | None:
    """Hold a session's row for a write by a worker; None when the caller sees no such session.

    `may_act` beside its columns says whether the worker (or, when none is named, the one that holds
    the session) is alive, of the caller's registration and of the session's project.
    """
    found = await db.exec_driver_sql(
        LOCK,
        {
            "org": caller.org_id,
            "session": session_id,
            "worker": worker_id,
            "registration": caller.registration_id,
            "projects": None if caller.projects is None else list(caller.projects),
        },
    )
    return found.one_or_none()


async def change(
    db: AsyncConnection, org_id: str, session_id: str, values: Mapping[str, Any]
) -> Row[Any]:
    """Write columns of a session whose row is held, and note the call; returns the new row."""
    instants = frozenset(name for name, value in values.items() if value is database.NOW)
    given = {name: value for name, value in values.items() if name not in instants}
    changed = await db.execute(
        _changing(instants), {"confirmed": True, **given, "org": org_id, "session": session_id}
    )
    row: Row[Any] = changed.one()
    return row


@cache
def _changing(instants: frozenset[str]) -> ReturningUpdate[Any]:
    """What sets these columns to now, and those that come as values; made once each."""
    return (
        update(sessions)
        .where(_of(bindparam("org"), bindparam("session")))
        .values(dict.fromkeys((*instants, "updated_at", "last_call_at"), database.NOW))
        .returning(*sessions.c)
    )


async def add(db: AsyncConnection, values: Mapping[str, Any]) -> str | None:
    """Store a new session as the holder of its issue, or parked when another holds it; returns
    `queued` or `parked`, None when the organization has one of this id already.

    A session without an issue holds nothing and is never in the way.
    """
    if not values["issue_id"]:
        return await _add(db, values, _KEY)
    other = sessions.alias("other")
    is_taken = exists().where(
        other.c.org_id == values["org_id"],
        other.c.project_id == values["project_id"],
        other.c.issue_id == values["issue_id"],
        other.c.holds_issue,
    )
    holding = {"waits_for": case((is_taken, ISSUE)), "holds_issue": ~is_taken}
    became = await _add(db, {**values, **holding}, None)
    # Without a row it is known, or another took the issue between the look and the write.
    return became or await _add(db, {**values, "waits_for": ISSUE}, _KEY)


async def _add(
    db: AsyncConnection, values: Mapping[str, Any], unless: Sequence[str] | None
) -> str | None:
    made = await db.execute(
        upsert(sessions)
        .values(**values)
        .on_conflict_do_nothing(index_elements=unless)
        .returning(sessions.c.waits_for)
    )
    row = made.one_or_none()
    return row and ("queued" if row.waits_for is None else "parked")


async def lock_any(
    db: AsyncConnection, org_id: str, projects: frozenset[str] | None, *, public_id: str
) -> Row[Any] | None:
    """Hold the row of a session that a person or program steers; None when none is visible."""
    visible = true() if projects is None else sessions.c.project_id.in_(projects)
    return (
        await db.execute(
            select(sessions)
            .where(sessions.c.org_id == org_id, sessions.c.public_id == public_id, visible)
            .with_for_update()
        )
    ).one_or_none()


# Its key stays, so what refers to it may be added meanwhile, by two events about it at once too.
_BY_ID: Final = (
    select(sessions)
    .where(_of(bindparam("org"), bindparam("session")))
    .with_for_update(key_share=True)
)


async def lock_by_id(db: AsyncConnection, org_id: str, session_id: str) -> Row[Any] | None:
    """Hold a session's row by its own id; None when the organization has none."""
    return (await db.execute(_BY_ID, {"org": org_id, "session": session_id})).one_or_none()


async def steer(
    db: AsyncConnection, org_id: str, session_id: str, values: Mapping[str, Any]
) -> Row[Any]:
    """Write columns of a session whose row is held, on behalf of somebody who is no worker."""
    changed = await db.execute(
        update(sessions)
        .where(_of(org_id, session_id))
        .values(updated_at=sql.now(), **values)
        .returning(*sessions.c)
    )
    return changed.one()


async def is_held(
    org_id: str, project_id: str, session_id: str, worker_id: str, claimed_at: datetime
) -> bool:
    """Whether the claim of a session that this worker made at this instant still lasts.

    It outlives a transfer and a lease that its worker took back, neither of which is a new claim.
    """
    values = {
        "org": org_id,
        "project": project_id,
        "session": session_id,
        "worker": worker_id,
        "claimed_at": claimed_at,
    }
    return bool(await database.hot(HELD_SINCE, values))
