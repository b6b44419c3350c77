"""The chains as the sealer writes them: pending events in, sealed rows out, heads moved on.

All in one transaction that holds the sealers' lock: `take` first, the rest as often as needed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database

LOCK: Final = 4_027_115_208
"""Held by whoever seals, and by whoever changes a chain's key meanwhile."""

CHECKPOINT_SECONDS: Final = 1.0

_DUE_CHAINS: Final = (
    "size > checkpoint_size and (checkpoint_at is null"
    f" or checkpoint_at <= clock_timestamp() - interval '{CHECKPOINT_SECONDS} seconds')"
)

_IS_WORK: Final = f"""
select exists(select from audit_pending) or
  exists(select from audit_chains where {_DUE_CHAINS}) as due
"""

_TAKE: Final = text("""
delete from audit_pending where id in (
  select id from audit_pending order by id limit :most
)
returning id, coalesce(org_id, 'system') as workspace_id, event_type, actor_id, actor_type,
  entity_type, entity_id, payload::text as payload, occurred_at
""")

_OPEN: Final = text("""
insert into audit_chains (workspace_id, head_hash, frontier, subject_key)
values (:workspace_id, :head_hash, '', :subject_key)
on conflict do nothing
""")

_HEADS: Final = text("""
select workspace_id, size, head_hash, head_at, frontier, subject_key
from audit_chains where workspace_id = any(:workspaces)
order by workspace_id for update
""")

_APPEND: Final = text("""
with sealed as (
  insert into audit_events (workspace_id, sequence_number, id, event_type, actor_id, actor_type,
    entity_type, entity_id, payload, prev_hash, entry_hash, occurred_at, signature, signing_key_id)
  select * from unnest(
    cast(:workspace_id as text[]), cast(:sequence_number as bigint[]), cast(:id as text[]),
    cast(:event_type as text[]), cast(:actor_id as text[]), cast(:actor_type as text[]),
    cast(:entity_type as text[]), cast(:entity_id as text[]), cast(:payload as text[]),
    cast(:prev_hash as bytea[]), cast(:entry_hash as bytea[]),
    cast(:occurred_at as timestamptz[]), cast(:signature as bytea[]),
    cast(:signing_key_id as text[]))
), grown as (
  insert into audit_nodes (workspace_id, level, index, hash)
  select * from unnest(cast(:node_workspace as text[]), cast(:node_level as smallint[]),
    cast(:node_index as bigint[]), cast(:node_hash as bytea[]))
)
update audit_chains set size = head.size, head_hash = head.head_hash, head_at = head.head_at,
  frontier = head.frontier
from unnest(cast(:chain as text[]), cast(:before as bigint[]), cast(:size as bigint[]),
  cast(:head_hash as bytea[]), cast(:head_at as timestamptz[]), cast(:frontier as bytea[]))
  as head (workspace_id, before, size, head_hash, head_at, frontier)
where audit_chains.workspace_id = head.workspace_id and audit_chains.size = head.before
""")

_DUE: Final = text(f"""
select workspace_id, size, frontier from audit_chains where {_DUE_CHAINS}
order by workspace_id limit :most
""")

_CHECKPOINT: Final = text("""
with covered as (
  update audit_chains set checkpoint_size = :tree_size, checkpoint_at = clock_timestamp()
  where workspace_id = :workspace_id
)
insert into audit_checkpoints (workspace_id, tree_size, root_hash, note, created_at, filed_at)
values (:workspace_id, :tree_size, :root_hash, :note, clock_timestamp(),
  case when :to_file then null else clock_timestamp() end)
""")

_UNFILED: Final = text("""
select workspace_id, tree_size, note from audit_checkpoints where filed_at is null
order by created_at limit :most for update skip locked
""")

_FILED: Final = text("""
update audit_checkpoints set filed_at = clock_timestamp()
from unnest(cast(:workspaces as text[]), cast(:sizes as bigint[]))
  as filed (workspace_id, tree_size)
where audit_checkpoints.workspace_id = filed.workspace_id
  and audit_checkpoints.tree_size = filed.tree_size
""")


@dataclass(frozen=True, slots=True)
class SealedRow:
    """One row as it is stored."""

    workspace_id: str
    sequence_number: int
    id: str
    event_type: str
    actor_id: str | None
    actor_type: str
    entity_type: str | None
    entity_id: str | None
    payload: str
    prev_hash: bytes
    entry_hash: bytes
    occurred_at: datetime
    signature: bytes
    signing_key_id: str


@dataclass(frozen=True, slots=True)
class Growth:
    """What a batch adds to one chain: its rows, the new nodes of its tree and its new head."""

    workspace_id: str
    before: int
    rows: Sequence[SealedRow]
    nodes: Sequence[tuple[int, int, bytes]]
    """(level, index, hash), of level 1 and up."""
    frontier: bytes


async def is_work() -> bool:
    """Whether anything waits to be sealed, or a chain for its checkpoint."""
    (row,) = await database.hot(_IS_WORK, {})
    return bool(row.due)


async def take(db: AsyncConnection, most: int) -> list[Row[Any]] | None:
    """The oldest pending events, removed; None while another process seals.

    Whoever rolls back has taken nothing.
    """
    if not await db.scalar(text("select pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}):
        return None
    rows = await db.execute(_TAKE, {"most": most})
    return sorted(rows, key=lambda row: int(row.id))


async def wait_for_lock(db: AsyncConnection) -> None:
    """Wait until nobody seals; nobody does until the transaction ends."""
    await db.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


async def open_chain(
    db: AsyncConnection, workspace_id: str, head_hash: bytes, subject_key: bytes
) -> None:
    """Begin a chain; one that is there stays as it is."""
    await db.execute(
        _OPEN,
        {"workspace_id": workspace_id, "head_hash": head_hash, "subject_key": subject_key},
    )


async def heads(db: AsyncConnection, workspaces: Collection[str]) -> dict[str, Row[Any]]:
    """How these chains end, locked against other writers."""
    rows = await db.execute(_HEADS, {"workspaces": list(workspaces)})
    return {row.workspace_id: row for row in rows}


async def append(db: AsyncConnection, growths: Sequence[Growth]) -> None:
    """Store what a batch adds and move the heads; raises RuntimeError if a head has moved since."""
    rows = [row for growth in growths for row in growth.rows]
    values: dict[str, Any] = {
        name: [getattr(row, name) for row in rows] for name in SealedRow.__dataclass_fields__
    }
    nodes = [(growth.workspace_id, *node) for growth in growths for node in growth.nodes]
    columns = list(zip(*nodes, strict=True)) or [(), (), (), ()]
    for name, column in zip(("workspace", "level", "index", "hash"), columns, strict=True):
        values[f"node_{name}"] = list(column)
    values |= {
        "chain": [growth.workspace_id for growth in growths],
        "before": [growth.before for growth in growths],
        "size": [growth.before + len(growth.rows) for growth in growths],
        "head_hash": [growth.rows[-1].entry_hash for growth in growths],
        "head_at": [growth.rows[-1].occurred_at for growth in growths],
        "frontier": [growth.frontier for growth in growths],
    }
    moved = await db.execute(_APPEND, values)
    if moved.rowcount != len(growths):
        raise RuntimeError("a chain grew beside its sealer; nothing was written")


async def due_for_checkpoint(db: AsyncConnection, most: int) -> list[Row[Any]]:
    """Chains that grew since their last checkpoint, if that is a second old."""
    return list(await db.execute(_DUE, {"most": most}))


async def add_checkpoint(
    db: AsyncConnection,
    workspace_id: str,
    tree_size: int,
    root_hash: bytes,
    note: str,
    *,
    to_file: bool,
) -> None:
    await db.execute(
        _CHECKPOINT,
        {
            "workspace_id": workspace_id,
            "tree_size": tree_size,
            "root_hash": root_hash,
            "note": note,
            "to_file": to_file,
        },
    )


async def unfiled(db: AsyncConnection, most: int) -> list[Row[Any]]:
    """Checkpoints that are not in the file yet, oldest first, held until the transaction ends."""
    return list(await db.execute(_UNFILED, {"most": most}))


async def mark_filed(db: AsyncConnection, rows: Sequence[Row[Any]]) -> None:
    await db.execute(
        _FILED,
        {
            "workspaces": [row.workspace_id for row in rows],
            "sizes": [row.tree_size for row in rows],
        },
    )


async def make_months(ahead: int) -> int:
    """Make the months of the log that are missing; returns how many."""
    (row,) = await database.hot("select audit_make_months(%(ahead)s) as made", {"ahead": ahead})
    return int(row.made)
