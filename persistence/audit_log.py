"""The sealed log as it is read: rows of one workspace, and what proves them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import merkle
from domain.merkle import Node
from persistence import database
from persistence.tables import audit_chains, audit_checkpoints, audit_events

MOST_OFFSET: Final = 100_000
"""As far as a filtered list is paged; without filters any distance costs the same."""

_SEE: Final = text("select set_config('rensei.workspace', :workspace, true)")

_NODES: Final = text("""
select node.level, node.index as number, hash from audit_nodes
join unnest(cast(:levels as smallint[]), cast(:indexes as bigint[])) as node (level, index)
  using (level, index)
where workspace_id = :workspace
""")

_LEAVES: Final = text("""
select sequence_number, entry_hash from audit_events
where workspace_id = :workspace and sequence_number = any(:numbers)
""")

_SEE_HOT: Final = "select set_config('rensei.workspace', %(workspace)s, true)"

# The row before the first one shown comes along, since what follows it names its hash.
_TAIL: Final = """
select now() as now, c.size, c.head_hash, p.tree_size, p.created_at as covered_at,
       k.public_key, k.revoked_at, e.*
  from audit_chains c
  left join audit_events e on e.workspace_id = c.workspace_id
   and e.sequence_number > c.size - %(most)s - 1 and e.sequence_number <= c.size
  left join audit_keys k on k.workspace_id = c.workspace_id and k.kid = e.signing_key_id
  left join audit_checkpoints p on p.workspace_id = c.workspace_id
   and p.tree_size = c.checkpoint_size
 where c.workspace_id = %(workspace)s
 order by e.sequence_number
"""


@asynccontextmanager
async def of(workspace_id: str) -> AsyncIterator[AsyncConnection]:
    """A transaction in which the rows of this workspace can be seen, and no others."""
    async with database.transaction() as db:
        await db.execute(_SEE, {"workspace": workspace_id})
        yield db


async def size(db: AsyncConnection, workspace_id: str) -> int:
    """How many rows the chain has; 0 for one that was never begun."""
    found = await db.scalar(
        select(audit_chains.c.size).where(audit_chains.c.workspace_id == workspace_id)
    )
    return int(found or 0)


async def chain(db: AsyncConnection, workspace_id: str) -> Row[Any] | None:
    """The row of a chain's head."""
    found = await db.execute(
        select(audit_chains).where(audit_chains.c.workspace_id == workspace_id)
    )
    return found.one_or_none()


async def newest(
    db: AsyncConnection,
    workspace_id: str,
    limit: int,
    offset: int,
    entity_type: str | None,
    entity_id: str | None,
) -> list[Row[Any]]:
    """Rows of a workspace, newest first."""
    query = select(audit_events).where(audit_events.c.workspace_id == workspace_id)
    if entity_type is None and entity_id is None:
        # Numbers have no gaps, so the first row to show is known without counting.
        last = await size(db, workspace_id) - offset
        query = query.where(audit_events.c.sequence_number <= last)
        query = query.where(audit_events.c.sequence_number > last - limit)
    else:
        if entity_type is not None:
            query = query.where(audit_events.c.entity_type == entity_type)
        if entity_id is not None:
            query = query.where(audit_events.c.entity_id == entity_id)
        query = query.limit(limit).offset(min(offset, MOST_OFFSET))
    return list(await db.execute(query.order_by(audit_events.c.sequence_number.desc())))


async def tail(workspace_id: str, most: int) -> list[Any]:
    """The newest rows and the one before them, oldest first, each with the public key it names, the
    chain's end and its newest checkpoint: all of one moment.

    A chain whose newest rows are not there has one row without a number; one that was never begun
    has none.
    """
    async with database.hot_transaction() as db, db.pipeline():
        await db.execute(_SEE_HOT, {"workspace": workspace_id})
        found = await db.execute(_TAIL, {"workspace": workspace_id, "most": most})
        return list(await found.fetchall())


async def between(
    db: AsyncConnection, workspace_id: str, first: int, last: int, limit: int
) -> list[Row[Any]]:
    """Rows from one number to another, oldest first, up to `limit` of them.

    In a log that somebody has changed a number may stand twice; the order is one all the same.
    """
    rows = await db.execute(
        select(audit_events)
        .where(
            audit_events.c.workspace_id == workspace_id,
            audit_events.c.sequence_number >= first,
            audit_events.c.sequence_number <= last,
        )
        .order_by(audit_events.c.sequence_number, audit_events.c.occurred_at)
        .limit(limit)
    )
    return list(rows)


async def nodes(
    db: AsyncConnection, workspace_id: str, wanted: Iterable[Node]
) -> dict[Node, bytes]:
    """The hashes of these nodes of a workspace's tree, all of which are complete."""
    wanted = set(wanted)
    inner = [node for node in wanted if node.level]
    leaves = [node.number + 1 for node in wanted if not node.level]
    found: dict[Node, bytes] = {}
    if inner:
        rows = await db.execute(
            _NODES,
            {
                "workspace": workspace_id,
                "levels": [node.level for node in inner],
                "indexes": [node.number for node in inner],
            },
        )
        found |= {Node(row.level, row.number): row.hash for row in rows}
    if leaves:
        rows = await db.execute(_LEAVES, {"workspace": workspace_id, "numbers": leaves})
        found |= {
            Node(0, row.sequence_number - 1): merkle.leaf_hash(row.entry_hash) for row in rows
        }
    return found


async def latest_checkpoint(
    db: AsyncConnection, workspace_id: str, *, stamped: bool = False
) -> Row[Any] | None:
    """The newest checkpoint of a chain, or the newest with a time stamp; None without one."""
    query = select(audit_checkpoints).where(audit_checkpoints.c.workspace_id == workspace_id)
    if stamped:
        query = query.where(audit_checkpoints.c.stamped_at.is_not(None))
    found = await db.execute(query.order_by(audit_checkpoints.c.tree_size.desc()).limit(1))
    return found.one_or_none()


async def checkpoints_between(
    db: AsyncConnection, workspace_id: str, first: int, last: int
) -> Sequence[Any]:
    """(tree_size, root_hash) of the checkpoints of these sizes, the smallest first."""
    rows = await db.execute(
        select(audit_checkpoints.c.tree_size, audit_checkpoints.c.root_hash)
        .where(
            audit_checkpoints.c.workspace_id == workspace_id,
            audit_checkpoints.c.tree_size >= first,
            audit_checkpoints.c.tree_size <= last,
        )
        .order_by(audit_checkpoints.c.tree_size)
    )
    return rows.all()


async def lag_seconds(db: AsyncConnection) -> float:
    """How long the oldest event of all has waited to be sealed."""
    return float(await db.scalar(text("select audit_lag_seconds()")) or 0)
