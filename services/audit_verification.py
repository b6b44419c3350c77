"""The server's own check of a chain, some rows at a time.

It says whether rows, keys, tree and checkpoints of this database agree. Whoever does not trust the
database keeps checkpoints and checks from outside.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain import merkle
from domain.audit_entries import GENESIS, canonical, entry_hash, examine
from domain.errors import NotFound, Unavailable
from persistence import audit_keys, audit_log
from services.audit_rows import entry_of, seal_of

PORTION: Final = 200
MOST_SECONDS: Final = 8.0
AT_ONCE: Final = 2

_running = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that is not as it was, or not there."""

    sequence_number: int
    hash: str | None
    reason: str

    def shown(self) -> dict[str, Any]:
        return {
            "sequenceNumber": self.sequence_number,
            "entryHash": self.hash,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """A row, what is wrong with it, and whether the newest checkpoint covers it."""

    row: Any
    broken: Broken | None
    covered: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """How a chain ends at a moment: how long it is, how much of it the newest checkpoint covers and
    since when, and its newest rows, newest first."""

    now: datetime | None
    size: int
    covered: int
    covered_at: datetime | None
    rows: tuple[Checked, ...]


@dataclass(frozen=True, slots=True)
class _Key:
    public: Ed25519PublicKey
    revoked_at: datetime | None


class _Checker:
    """Where a check has come to."""

    def __init__(
        self,
        workspace_id: str,
        first: int,
        before: Any | None,
        frontier: dict[merkle.Node, bytes],
        keys: dict[str, _Key],
    ) -> None:
        self.next = first
        self.broken: Broken | None = None
        self.previous = GENESIS if before is None else before.entry_hash.hex()
        self._instant: datetime | None = None if before is None else before.occurred_at
        self._workspace_id = workspace_id
        self._keys = keys
        self._known = frontier

    def check(self, rows: Sequence[Any], checkpoints: Sequence[Any]) -> None:
        """Check the next rows, and the checkpoints that end among them."""
        start, good = self.next - 1, []
        for row in rows:
            self.broken = self.wrong(row)
            if self.broken is not None:
                break
            good.append(row.entry_hash)
            self.previous, self._instant = row.entry_hash.hex(), row.occurred_at
            self.next += 1
        self._known |= merkle.grow(start, good, self._known)
        for each in checkpoints:
            if (
                start < each.tree_size < self.next
                and merkle.root(each.tree_size, self._known) != each.root_hash
            ):
                self.broken = Broken(
                    each.tree_size, None, f"the checkpoint of {each.tree_size} rows is of others"
                )
                break
        self._known = {node: self._known[node] for node in merkle.root_nodes(self.next - 1)}

    def wrong(self, row: Any) -> Broken | None:
        """What is wrong with the row that comes next; None when nothing is."""
        hashed = row.entry_hash.hex()

        def broken(reason: str) -> Broken:
            return Broken(self.next, hashed, reason)

        if row.sequence_number > self.next:
            return Broken(self.next, None, f"missing; row {row.sequence_number} comes next")
        if row.sequence_number < self.next:
            return broken("there twice")
        if row.prev_hash.hex() != self.previous:
            return broken("does not follow the row before it")
        key = self._keys.get(row.signing_key_id)
        signed = False
        try:
            entry = entry_of(row)
            if key is None:
                found = entry_hash(entry, self.previous)
            else:
                found, signed = examine(entry, seal_of(row), key.public)
            is_whole = found == hashed and canonical(entry.payload).decode() == row.payload
        except (ValueError, RecursionError, TypeError):
            is_whole = False
        if not is_whole:
            return broken("its content is not what was hashed")
        if self._instant is not None and row.occurred_at < self._instant:
            return broken("goes back in time")
        if key is None:
            return broken("is signed with a key that is not the workspace's")
        if not signed:
            return broken("its signature is wrong")
        if key.revoked_at is not None and row.occurred_at > key.revoked_at:
            return broken("is signed with a key that was revoked before")
        return None


async def verify(workspace_id: str, first: int) -> dict[str, Any]:
    """Check a chain from a row on for some seconds; says where to go on if it was not enough."""
    global _running
    if _running >= AT_ONCE:
        raise Unavailable("Other chains are being checked; try again", retry_after=10)
    _running += 1
    try:
        return await _verify(workspace_id, first)
    finally:
        _running -= 1


async def _verify(workspace_id: str, first: int) -> dict[str, Any]:
    deadline = time.monotonic() + MOST_SECONDS
    keys = {
        key.kid: _Key(Ed25519PublicKey.from_public_bytes(key.public_key), key.revoked_at)
        for key in await audit_keys.list_of(workspace_id)
    }
    async with audit_log.of(workspace_id) as db:
        # What is sealed from now on is left to the next check.
        head = await audit_log.chain(db, workspace_id)
        size = head.size if head is not None else 0
        if first > size + 1:
            raise NotFound(f"The chain has {size} rows")
        before = await audit_log.between(db, workspace_id, first - 1, first - 1, 1)
        wanted = merkle.root_nodes(first - 1)
        frontier = await audit_log.nodes(db, workspace_id, wanted)
    checker = _Checker(workspace_id, first, before[0] if before else None, frontier, keys)
    if first > 1 and (not before or len(frontier) < len(wanted)):
        checker.broken = Broken(first - 1, None, "missing, or the tree over it is")
    while checker.broken is None and checker.next <= size and time.monotonic() < deadline:
        last = min(size, checker.next + PORTION - 1)
        async with audit_log.of(workspace_id) as db:
            rows = await audit_log.between(db, workspace_id, checker.next, last, PORTION)
            points = await audit_log.checkpoints_between(db, workspace_id, checker.next, last)
        if rows:
            await asyncio.to_thread(checker.check, rows, points)
        if checker.broken is None and checker.next <= last:
            checker.broken = Broken(checker.next, None, "missing")
    is_complete = checker.broken is not None or checker.next > size
    if is_complete and checker.broken is None and head is not None:
        checker.broken = _wrong_end(head, checker.previous)
    return {
        "workspaceId": workspace_id,
        "valid": checker.broken is None,
        "eventCount": checker.next - first,
        "firstSequence": first if checker.next > first else 0,
        "lastSequence": checker.next - 1 if checker.next > first else 0,
        "brokenAt": None if checker.broken is None else checker.broken.shown(),
        "complete": is_complete,
        "nextSequence": None if is_complete else checker.next,
    }


async def newest(workspace_id: str, most: int) -> Tail:
    """The newest rows, each checked now: its content against its hash, its signature, and that it
    follows the row before it."""
    return await asyncio.to_thread(
        _checked, workspace_id, most, await audit_log.tail(workspace_id, most)
    )


def _checked(workspace_id: str, most: int, found: Sequence[Any]) -> Tail:
    if not found:
        return Tail(None, 0, 0, None, ())
    end = found[0]
    rows = [row for row in found if row.sequence_number is not None]
    checked: list[Checked] = []
    for before, row in zip((None, *rows), rows, strict=False):
        if row.sequence_number <= end.size - most:
            continue
        keys = {}
        if row.public_key is not None:
            public = Ed25519PublicKey.from_public_bytes(row.public_key)
            keys[row.signing_key_id] = _Key(public, row.revoked_at)
        expected = row.sequence_number if before is None else before.sequence_number + 1
        broken = _Checker(workspace_id, expected, before, {}, keys).wrong(row)
        if broken is None and row is rows[-1]:
            broken = _wrong_end(end, row.entry_hash.hex())
        checked.append(Checked(row, broken, row.sequence_number <= (end.tree_size or 0)))
    return Tail(end.now, end.size, end.tree_size or 0, end.covered_at, tuple(reversed(checked)))


def _wrong_end(head: Any, last_hash: str) -> Broken | None:
    if head.head_hash.hex() == last_hash:
        return None
    return Broken(head.size, last_hash, "is not the row that the chain ended with")
