"""The chains as the sealer writes them: pending events in, sealed rows out, heads moved on.

All in one transaction that holds the sealers' lock, with as few round trips as can be: it runs
several times a second for as long as the server does.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database

LOCK: Final = 4_027_115_208
"""Held by whoever seals, and by whoever changes a chain's key meanwhile."""

CHECKPOINT_SECONDS: Final = 1.0

_DUE: Final = (
    "(checkpoint_at is null"
    f" or checkpoint_at <= clock_timestamp() - interval '{CHECKPOINT_SECONDS} seconds')"
)

_WORK: Final = f"""
select exists(select from audit_pending) as pending,
  exists(select from audit_chains where size > checkpoint_size and {_DUE}) as due
"""

_LOCK: Final = "select pg_try_advisory_xact_lock(%(lock)s) as held"

# The lock is looked at once, before any row. A row that another sealer removed since this statement
# began is passed over.
_TAKE: Final = f"""
delete from audit_pending where id in (
  select id from audit_pending
  where ({_LOCK}) and coalesce(org_id, 'system') <> all(%(aside)s::text[])
  order by id limit %(most)s
)
returning id, coalesce(org_id, 'system') as workspace_id, event_type, actor_id, actor_type,
  entity_type, entity_id, payload::text as payload, occurred_at
"""

_OPEN: Final = """
insert into audit_chains (workspace_id, head_hash, frontier, subject_key)
values (%(workspace_id)s, %(head_hash)s, '', %(subject_key)s)
on conflict do nothing
"""

_HEADS: Final = f"""
select audit_chains.workspace_id, size, head_hash, head_at, frontier, subject_key,
  {_DUE} as is_due, kid, secret_encrypted
from audit_chains
left join audit_keys
  on audit_keys.workspace_id = audit_chains.workspace_id and revoked_at is null
left join audit_key_secrets using (kid)
where audit_chains.workspace_id = any(%(workspaces)s)
for update of audit_chains
"""

_APPEND: Final = """
with sealed as (
  insert into audit_events (workspace_id, sequence_number, id, event_type, actor_id, actor_type,
    entity_type, entity_id, payload, prev_hash, entry_hash, occurred_at, signature, signing_key_id)
  select * from unnest(
    %(workspace_id)s::text[], %(sequence_number)s::bigint[], %(id)s::text[],
    %(event_type)s::text[], %(actor_id)s::text[], %(actor_type)s::text[],
    %(entity_type)s::text[], %(entity_id)s::text[], %(payload)s::text[],
    %(prev_hash)s::bytea[], %(entry_hash)s::bytea[],
    %(occurred_at)s::timestamptz[], %(signature)s::bytea[], %(signing_key_id)s::text[])
), grown as (
  insert into audit_nodes (workspace_id, level, index, hash)
  select * from unnest(%(node_workspace)s::text[], %(node_level)s::smallint[],
    %(node_index)s::bigint[], %(node_hash)s::bytea[])
)
update audit_chains set size = head.size, head_hash = head.head_hash, head_at = head.head_at,
  frontier = head.frontier
from unnest(%(chain)s::text[], %(before)s::bigint[], %(size)s::bigint[],
  %(head_hash)s::bytea[], %(head_at)s::timestamptz[], %(frontier)s::bytea[])
  as head (workspace_id, before, size, head_hash, head_at, frontier)
where audit_chains.workspace_id = head.workspace_id and audit_chains.size = head.before
"""

_UNCOVERED: Final = f"""
select workspace_id, size, frontier, kid, secret_encrypted from audit_chains
join audit_keys using (workspace_id) join audit_key_secrets using (kid)
where size > checkpoint_size and {_DUE} and revoked_at is null
order by workspace_id limit %(most)s
"""

_COVER: Final = """
with signed as (
  insert into audit_checkpoints (workspace_id, tree_size, root_hash, note, created_at, filed_at)
  select workspace_id, tree_size, root_hash, note, clock_timestamp(),
    case when %(to_file)s then null else clock_timestamp() end
  from unnest(%(workspaces)s::text[], %(sizes)s::bigint[], %(roots)s::bytea[], %(notes)s::text[])
    as made (workspace_id, tree_size, root_hash, note)
  returning workspace_id, tree_size
)
update audit_chains set checkpoint_size = signed.tree_size, checkpoint_at = clock_timestamp()
from signed where audit_chains.workspace_id = signed.workspace_id
"""

_UNFILED: Final = """
select workspace_id, tree_size, note from audit_checkpoints where filed_at is null
order by created_at limit %(most)s for update skip locked
"""

_FILED: Final = """
update audit_checkpoints set filed_at = clock_timestamp()
from unnest(%(workspaces)s::text[], %(sizes)s::bigint[]) as filed (workspace_id, tree_size)
where audit_checkpoints.workspace_id = filed.workspace_id
  and audit_checkpoints.tree_size = filed.tree_size
"""

Connection = psycopg.AsyncConnection[Any]


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

    @property
    def size(self) -> int:
        """Rows of the chain from now on."""
        return self.before + len(self.rows)


@dataclass(frozen=True, slots=True)
class Cover:
    """A checkpoint just signed."""

    workspace_id: str
    tree_size: int
    root_hash: bytes
    note: str


async def work() -> tuple[bool, bool]:
    """Whether events wait to be sealed, and whether a chain waits for its checkpoint."""
    (row,) = await database.hot(_WORK, {})
    return bool(row.pending), bool(row.due)


async def hold(db: Connection) -> bool:
    """Become the sealer until the transaction ends; False while another process is."""
    row = await (await db.execute(_LOCK, {"lock": LOCK})).fetchone()
    return bool(row and row.held)


async def take(db: Connection, most: int, aside: Collection[str] = ()) -> list[Any]:
    """The oldest pending events but for chains set `aside`, removed; none while another seals.

    Whoever rolls back has taken nothing.
    """
    rows = await (
        await db.execute(_TAKE, {"lock": LOCK, "most": most, "aside": list(aside)})
    ).fetchall()
    return sorted(rows, key=lambda row: int(row.id))


async def wait_for_lock(db: AsyncConnection) -> None:
    """Wait until nobody seals; nobody does until the transaction ends."""
    await db.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


async def open_chain(
    db: Connection, workspace_id: str, head_hash: bytes, subject_key: bytes
) -> None:
    """Begin a chain; one that is there stays as it is."""
    await db.execute(
        _OPEN,
        {"workspace_id": workspace_id, "head_hash": head_hash, "subject_key": subject_key},
    )


async def heads(db: Connection, workspaces: Collection[str]) -> dict[str, Any]:
    """How these chains end and what signs them, locked against other writers.

    Without a key that signs now, `kid` and `secret_encrypted` are None.
    """
    rows = await (await db.execute(_HEADS, {"workspaces": list(workspaces)})).fetchall()
    return {row.workspace_id: row for row in rows}


async def append(db: Connection, growths: Sequence[Growth]) -> None:
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
        "size": [growth.size for growth in growths],
        "head_hash": [growth.rows[-1].entry_hash for growth in growths],
        "head_at": [growth.rows[-1].occurred_at for growth in growths],
        "frontier": [growth.frontier for growth in growths],
    }
    moved = await db.execute(_APPEND, values)
    if moved.rowcount != len(growths):
        raise RuntimeError("a chain grew beside its sealer; nothing was written")


async def uncovered(db: Connection, most: int) -> list[Any]:
    """Chains that grew since their last checkpoint, if that is a second old."""
    return list(await (await db.execute(_UNCOVERED, {"most": most})).fetchall())


async def cover(db: Connection, covers: Sequence[Cover], *, to_file: bool) -> None:
    """Store checkpoints; `to_file` says that they are to be written to the file too."""
    await db.execute(
        _COVER,
        {
            "to_file": to_file,
            "workspaces": [each.workspace_id for each in covers],
            "sizes": [each.tree_size for each in covers],
            "roots": [each.root_hash for each in covers],
            "notes": [each.note for each in covers],
        },
    )


async def unfiled(db: Connection, most: int) -> list[Any]:
    """Checkpoints that are not in the file yet, oldest first, held until the transaction ends."""
    return list(await (await db.execute(_UNFILED, {"most": most})).fetchall())


async def mark_filed(db: Connection, rows: Sequence[Any]) -> None:
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
