"""What proves the audit log to others: checkpoints, proofs and bundles."""

import base64
import itertools
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson
from starlette.responses import StreamingResponse

from domain import merkle
from domain.errors import Invalid, NotFound
from domain.merkle import Node
from domain.principal import Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import audit_keys, audit_log
from services.audit_rows import jwk, shown_with, workspace_of

PORTION: Final = 200
GZIP: Final = 16 + zlib.MAX_WBITS
GZIP_LEVEL: Final = 3
"""Hashes and signatures do not shrink, whatever the effort."""


async def get_audit_checkpoint(
    user: Principal, workspace_id: str | None, *, stamped: bool
) -> Reply:
    """Show the newest checkpoint of a chain, and how far behind the sealing is."""
    workspace = workspace_of(user, workspace_id)
    async with audit_log.of(workspace) as db:
        point = await audit_log.latest_checkpoint(db, workspace, stamped=stamped)
        if point is None:
            kind = "checkpoint with a time stamp" if stamped else "checkpoint"
            raise NotFound(f"The chain has no {kind} yet")
        size = await audit_log.size(db, workspace)
        lag = await audit_log.lag_seconds(db)
    return {
        "workspaceId": workspace,
        "treeSize": point.tree_size,
        "rootHash": _base64(point.root_hash),
        "checkpoint": point.note,
        "createdAt": iso(point.created_at),
        "timeStamp": None if point.time_stamp is None else _base64(point.time_stamp),
        "sealedCount": size,
        "lagSeconds": round(lag, 3),
    }, 200


async def get_audit_inclusion_proof(
    user: Principal, sequence_number: int, tree_size: int | None, workspace_id: str | None
) -> Reply:
    """Prove that a row is in the tree of a size."""
    workspace = workspace_of(user, workspace_id)
    async with audit_log.of(workspace) as db:
        size = await _size(db, workspace, tree_size)
        leaf = sequence_number - 1
        if leaf >= size:
            raise NotFound(f"The tree has {size} rows; row {sequence_number} is not among them")
        wanted = merkle.inclusion_nodes(leaf, size)
        known = await _nodes(db, workspace, [*wanted, *merkle.root_nodes(size), Node(0, leaf)])
        (row,) = await audit_log.between(db, workspace, sequence_number, sequence_number, 1)
    return {
        "workspaceId": workspace,
        "sequenceNumber": sequence_number,
        "leafIndex": leaf,
        "treeSize": size,
        "entryHash": row.entry_hash.hex(),
        "leafHash": _base64(known[Node(0, leaf)]),
        "rootHash": _base64(merkle.root(size, known)),
        "hashes": _texts(merkle.inclusion(leaf, size, known)),
    }, 200


async def get_audit_consistency_proof(
    user: Principal, from_: int, to: int | None, workspace_id: str | None
) -> Reply:
    """Prove that the tree of one size is how the tree of a later size began."""
    workspace = workspace_of(user, workspace_id)
    async with audit_log.of(workspace) as db:
        size = await _size(db, workspace, to)
        if from_ > size:
            raise Invalid(f"from: {from_} is more than the {size} rows of `to`")
        wanted = merkle.consistency_nodes(from_, size)
        known = await _nodes(
            db, workspace, [*wanted, *merkle.root_nodes(from_), *merkle.root_nodes(size)]
        )
    return {
        "workspaceId": workspace,
        "from": from_,
        "to": size,
        "fromRootHash": _base64(merkle.root(from_, known)),
        "toRootHash": _base64(merkle.root(size, known)),
        "hashes": _texts(merkle.consistency(from_, size, known)),
    }, 200


async def export_audit_events(
    user: Principal, from_: int, to: int | None, workspace_id: str | None
) -> StreamingResponse:
    """Stream a range of rows with all that it takes to check them."""
    workspace = workspace_of(user, workspace_id)
    async with audit_log.of(workspace) as db:
        point = await audit_log.latest_checkpoint(db, workspace)
        if point is None:
            raise NotFound("The chain has no checkpoint yet")
        size = point.tree_size
        last = size if to is None else min(to, size)
        if from_ > last + 1 or from_ > size + 1:
            raise Invalid(f"from: {from_} lies after the end of the range, {last}")
        head = await _head(db, workspace, from_, last, point)
    name = f"audit-{workspace}-{from_}-{last}.jsonl.gz"
    return StreamingResponse(
        _compressed(_lines(workspace, from_, last, head)),
        media_type="application/gzip",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


async def _head(db: Any, workspace: str, first: int, last: int, point: Any) -> list[dict[str, Any]]:
    """The lines of a bundle before its rows."""
    size = point.tree_size
    numbers = sorted({first, last}) if first <= last else []
    wanted = {number: merkle.inclusion_nodes(number - 1, size) for number in numbers}
    known = await audit_log.nodes(db, workspace, [*itertools.chain(*wanted.values())])
    keys = await audit_keys.list_of(workspace)
    return [
        {
            "type": "bundle",
            "version": 1,
            "workspaceId": workspace,
            "from": first,
            "to": last,
            "treeSize": size,
        },
        {"type": "keys", "keys": [jwk(key) for key in keys]},
        {"type": "checkpoint", "text": point.note},
        *(
            {
                "type": "proof",
                "kind": "inclusion",
                "sequenceNumber": number,
                "treeSize": size,
                "hashes": _texts(merkle.inclusion(number - 1, size, known)),
            }
            for number in numbers
            # Where rows were removed a proof cannot be made; what is left is exported all the same,
            # for those who check it to name what is missing.
            if known.keys() >= set(wanted[number])
        ),
    ]


async def _lines(
    workspace: str, first: int, last: int, head: list[dict[str, Any]]
) -> AsyncIterator[bytes]:
    """The lines of a bundle, some at a time; rows never change, so each portion is read anew."""
    yield b"".join(map(_line, head))
    count, after = 0, first - 1
    while after < last:
        async with audit_log.of(workspace) as db:
            rows = await audit_log.between(db, workspace, after + 1, last, PORTION)
        if not rows:
            break
        yield b"".join(_event(row) for row in rows)
        count, after = count + len(rows), rows[-1].sequence_number
    yield _line({"type": "end", "count": count})


async def _compressed(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=GZIP)
    async for part in parts:
        packed = packer.compress(part)
        if packed:
            yield packed
    yield packer.flush()


def _event(row: Any) -> bytes:
    """A row's line; its payload is written as it was hashed."""
    return _line({"type": "event", **shown_with(row, orjson.Fragment(row.payload))})


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


async def _size(db: Any, workspace: str, asked: int | None) -> int:
    """The size of the tree that is asked about; by default that of the newest checkpoint."""
    if asked is None:
        point = await audit_log.latest_checkpoint(db, workspace)
        if point is None:
            raise NotFound("The chain has no checkpoint yet")
        return int(point.tree_size)
    size = await audit_log.size(db, workspace)
    if asked > size:
        raise NotFound(f"The chain has {size} rows; there is no tree of {asked} yet")
    return asked


async def _nodes(db: Any, workspace: str, wanted: list[Node]) -> dict[Node, bytes]:
    known = await audit_log.nodes(db, workspace, wanted)
    if len(known) < len(set(wanted)):
        raise NotFound("Rows of the chain are missing; verifyAudit names the first")
    return known


def _texts(hashes: Sequence[bytes]) -> list[str]:
    return [_base64(each) for each in hashes]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
