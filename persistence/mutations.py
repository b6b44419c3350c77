"""Mutations: what a host is told to change about itself, in the order in which it was said."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.database import NOW
from persistence.paging import Page, page
from persistence.tables import mutations

MOST_PER_HEARTBEAT: Final = 50
LONGEST_ERROR: Final = 2000

# Locked in their order before anything is written: a cancel that came first takes its mutation out
# of the list, one that comes later finds it delivered, and two heartbeats of a host take turns.
DELIVER: Final = f"""
with due as (
  select m.* from mutations m
   where m.org_id = %(org)s and m.host_id = %(host)s and m.status in ('pending', 'delivered')
   order by m.seq
   limit {MOST_PER_HEARTBEAT}
     for update
), stamped as (
  update mutations m set status = 'delivered', delivered_at = now()
    from due
   where m.id = due.id and due.status = 'pending'
  returning m.id, m.seq, m.op, m.params
), pooled as (
  update worker_hosts h
     set status = 'pool_deleted', recommended_action = 'join_another_pool',
         candidate_pool_ids = array(
           select json_array_elements_text(coalesce(p.params -> 'candidatePoolIds', '[]')))
    from (select params from stamped where op = 'pool.deleted' order by seq desc limit 1) p
   where h.id = %(host)s and h.org_id = %(org)s
), logged as (
  insert into audit_pending
         (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
  select %(org)s, 'mutation.delivered', %(worker)s, 'worker', 'mutation', s.id,
         jsonb_build_object('op', s.op, 'workerHostId', %(host)s::text)
    from stamped s
)
select id, op, params, created_at, requested_by from due order by seq
"""

SETTLE: Final = """
with said as (
  select * from unnest(%(ids)s::text[], %(errors)s::text[]) as s (id, error)
), due as (
  select m.id, said.error from mutations m join said on said.id = m.id
   where m.org_id = %(org)s and m.host_id = %(host)s and m.status = 'delivered'
   order by m.seq
     for update of m
), settled as (
  update mutations m
     set status = case when due.error is null then 'applied' else 'failed' end,
         error = due.error, settled_at = now()
    from due where m.id = due.id
  returning m.id, m.op, m.status
), logged as (
  insert into audit_pending
         (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
  select %(org)s, 'mutation.' || s.status, %(worker)s, 'worker', 'mutation', s.id,
         jsonb_build_object('op', s.op, 'workerHostId', %(host)s::text)
    from settled s
)
select id from settled
"""


async def enqueue(db: AsyncConnection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a new mutation; `values` are columns of `mutations`."""
    made = await db.execute(insert(mutations).values(**values).returning(*mutations.c))
    return made.one()


async def list_page(
    db: AsyncConnection, org_id: str, host_id: str, limit: int, cursor: str | None
) -> Page:
    """A host's mutations, whatever became of them, newest first."""
    query = select(mutations).where(mutations.c.org_id == org_id, mutations.c.host_id == host_id)
    return await page(db, query, mutations.c.created_at, mutations.c.id, limit, cursor)


async def cancel(db: AsyncConnection, org_id: str, mutation_id: str) -> Row[Any] | None:
    """Cancel a mutation that no heartbeat has carried yet; None when it is too late.

    A delivery at the same time holds the row: this waits for it, looks again, and is too late.
    """
    cancelled = await db.execute(
        update(mutations)
        .where(
            mutations.c.org_id == org_id,
            mutations.c.id == mutation_id,
            mutations.c.status == "pending",
        )
        .values(status="cancelled", cancelled_at=NOW)
        .returning(*mutations.c)
    )
    return cancelled.one_or_none()


async def find(db: AsyncConnection, org_id: str, mutation_id: str) -> Row[Any] | None:
    return (
        await db.execute(
            select(mutations).where(mutations.c.org_id == org_id, mutations.c.id == mutation_id)
        )
    ).one_or_none()


async def deliver(org_id: str, host_id: str, worker_id: str) -> Sequence[Any]:
    """The next mutations of a host, oldest first, each stamped at its first delivery.

    What was delivered and not acknowledged is among them. The host's status follows a deletion of
    its pool.
    """
    return await database.hot(DELIVER, {"org": org_id, "host": host_id, "worker": worker_id})


async def settle(
    org_id: str, host_id: str, worker_id: str, said: Mapping[str, str | None]
) -> Sequence[Any]:
    """Note what a host acknowledges: mutation id -> its error, None for an applied one.

    Ids that are not this host's, or not under way, change nothing.
    """
    values = {
        "org": org_id,
        "host": host_id,
        "worker": worker_id,
        "ids": list(said),
        "errors": [None if error is None else error[:LONGEST_ERROR] for error in said.values()],
    }
    return await database.hot(SETTLE, values)
