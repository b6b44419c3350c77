"""The sealed chains as tests look at them: the owner's rows, checked by the rules alone."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import settings
from domain import checkpoints, merkle
from domain.audit_entries import GENESIS, Entry, Seal, canonical, entry_hash, is_signed
from jobs.seal_audit import seal_audit
from persistence import database


async def seal_all() -> None:
    """Seal what waits, as the job process of the settings in use would."""
    connected = database.Database(str(settings.current().jobs_database_url))
    await connected.open()
    with database.using(connected):
        await seal_audit()
    await connected.close()


ROWS = "select * from audit_events where workspace_id = %s order by sequence_number"
KEYS = "select * from audit_keys where workspace_id = %s"
CHECKPOINTS = "select * from audit_checkpoints where workspace_id = %s order by tree_size"


async def fetch(owner: Any, query: str, *values: Any) -> list[Any]:
    return list(await (await owner.execute(query, values)).fetchall())


def entry_of(row: Any) -> Entry:
    return Entry(
        row.id,
        row.workspace_id,
        row.sequence_number,
        row.event_type,
        row.actor_id,
        row.actor_type,
        row.entity_type,
        row.entity_id,
        json.loads(row.payload),
        row.occurred_at,
    )


async def whole(owner: Any, workspace_id: str) -> list[Any]:
    """The rows of a chain, after every rule has been held to them and to its checkpoints."""
    rows = await fetch(owner, ROWS, workspace_id)
    keys = {
        key.kid: Ed25519PublicKey.from_public_bytes(bytes(key.public_key))
        for key in await fetch(owner, KEYS, workspace_id)
    }
    previous = GENESIS
    for number, row in enumerate(rows, start=1):
        entry = entry_of(row)
        assert row.sequence_number == number
        assert row.payload == canonical(json.loads(row.payload)).decode()
        assert row.prev_hash.hex() == previous
        assert row.entry_hash.hex() == entry_hash(entry, previous)
        signature = base64.b64encode(row.signature).decode()
        sealed = Seal(previous, row.entry_hash.hex(), row.signing_key_id, signature)
        assert is_signed(entry, sealed, keys[row.signing_key_id])
        previous = row.entry_hash.hex()
    known = merkle.grow(0, (row.entry_hash for row in rows), {})
    for each in await fetch(owner, CHECKPOINTS, workspace_id):
        signed = checkpoints.parse(each.note)
        assert checkpoints.signers(signed, keys)
        assert signed.checkpoint.size == each.tree_size
        assert signed.checkpoint.root == each.root_hash == merkle.root(each.tree_size, known)
    (head,) = await fetch(owner, "select * from audit_chains where workspace_id = %s", workspace_id)
    assert (head.size, head.head_hash.hex()) == (len(rows), previous)
    nodes = await fetch(owner, "select * from audit_nodes where workspace_id = %s", workspace_id)
    stored = {merkle.Node(node.level, node.index): node.hash for node in nodes}
    assert stored == {node: value for node, value in known.items() if node.level}
    return rows
