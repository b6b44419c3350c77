"""What happened becomes rows of its chain: hashed, signed, and covered by checkpoints."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import settings
from auth import audit_keys as making
from auth import keyring
from auth.audit_keys import SubjectKey
from auth.sealing import MasterKey, WrongMasterKey
from domain import merkle, personal_members
from domain.audit_entries import GENESIS, Entry, canonical, in_order, seal, storable
from domain.checkpoints import Checkpoint, origin, sign
from domain.ids import new_id
from domain.times import milliseconds
from jobs.file_checkpoints import file_checkpoints
from persistence import audit_chains, audit_keys, audit_subjects, database
from persistence.audit_chains import Connection, Cover, Growth, SealedRow

MOST: Final = 500
"""Rows of a batch: enough to share the costs of a commit, few enough to be done in a moment."""

LONGEST_NUMBER: Final = 400
HASH_BYTES: Final = 32
SHOWN_CHARACTERS: Final = 1_000

AGAIN_SECONDS: Final = 60.0
"""How long a chain is left alone whose secrets no master key here opens."""

_log = logging.getLogger(__name__)


async def seal_audit() -> int:
    """Seal all that waits, batch by batch; returns how many rows.

    One process seals at a time and the others pass by. A batch is one transaction: whoever ends in
    the middle of it has taken nothing and written nothing.
    """
    pending, due = await audit_chains.work()
    count, last, signed = 0, MOST if pending else 0, False
    while last == MOST:
        try:
            last, covered = await _batch(_set_aside())
        except _Closed as closed:
            _log.error("%s; its events wait, the other chains go on", closed)
            _closed_until[closed.workspace_id] = time.monotonic() + AGAIN_SECONDS
            continue
        count += last
        signed = signed or covered
    if due and not count:
        signed = await _cover_the_rest()
    if signed:
        await file_checkpoints()
    return count


class _Closed(Exception):
    """A secret of this chain is under no master key that is here."""

    def __init__(self, workspace_id: str, error: Exception) -> None:
        self.workspace_id = workspace_id
        super().__init__(f"chain {workspace_id}: {error}")


_closed_until: dict[str, float] = {}


def _set_aside() -> list[str]:
    """The chains that could not be opened a moment ago."""
    now = time.monotonic()
    return [workspace_id for workspace_id, until in _closed_until.items() if until > now]


async def _batch(set_aside: list[str]) -> tuple[int, bool]:
    """Seal some rows; returns how many, and whether a checkpoint was signed."""
    master = keyring.current().master
    async with database.hot_transaction() as db:
        rows = await audit_chains.take(db, MOST, set_aside)
        if not rows:
            return 0, False
        chains = await _chains(db, master, {row.workspace_id for row in rows})
        batch = await _with_subjects(db, master, chains, [_event(row) for row in rows])
        growths = await asyncio.to_thread(_sealed, batch)
        await audit_chains.append(db, growths)
        covers = [
            _cover(each.workspace_id, each.size, each.frontier, chains[each.workspace_id].key)
            for each in growths
            if chains[each.workspace_id].head.is_due
        ]
        await _store(db, covers)
    return len(rows), bool(covers)


async def _cover_the_rest() -> bool:
    """Sign checkpoints of chains that grew within a second after their last one."""
    master = keyring.current().master
    async with database.hot_transaction() as db:
        if not await audit_chains.hold(db):
            return False
        covers = []
        for each in await audit_chains.uncovered(db, MOST):
            # One that is closed is told of where its events are sealed.
            with suppress(WrongMasterKey):
                key = making.open_signing_key(master, each.kid, each.secret_encrypted)
                covers.append(_cover(each.workspace_id, each.size, each.frontier, key))
        await _store(db, covers)
    return bool(covers)


def _cover(workspace_id: str, size: int, frontier: bytes, key: Ed25519PrivateKey) -> Cover:
    """A checkpoint over all that a chain has."""
    public_url = settings.current().public_url
    host = urlsplit(public_url).hostname if public_url else None
    root = merkle.root(size, _frontier(size, frontier))
    point = Checkpoint(origin(host or "rensei", workspace_id), size, root)
    return Cover(workspace_id, size, root, sign(point, key).text())


async def _store(db: Connection, covers: Sequence[Cover]) -> None:
    if covers:
        to_file = settings.current().audit_checkpoint_file is not None
        await audit_chains.cover(db, covers, to_file=to_file)


@dataclass(frozen=True, slots=True)
class _Chain:
    """How a chain ends, and what signs it."""

    head: Any
    kid: str
    key: Ed25519PrivateKey
    digest_key: bytes


@dataclass(frozen=True, slots=True)
class _Event:
    """A pending row with its payload read."""

    row: Any
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Batch:
    chains: dict[str, _Chain]
    events: Sequence[_Event]
    subjects: dict[audit_subjects.Place, SubjectKey]


def _event(row: Any) -> _Event:
    """Read a pending row. Whatever is in it, it must not keep those behind it from being sealed."""
    try:
        payload = storable(json.loads(row.payload, parse_int=_integer))
    except (ValueError, RecursionError):
        payload = {"unreadable": row.payload[:SHOWN_CHARACTERS]}
    if not isinstance(payload, dict):
        payload = {"value": payload}
    return _Event(row, payload)


def _integer(text: str) -> int | str:
    # No double is that long, and Python reads no integer of thousands of digits.
    return int(text) if len(text) < LONGEST_NUMBER else text


async def _chains(db: Connection, master: MasterKey, workspaces: set[str]) -> dict[str, _Chain]:
    """The chains of a batch, begun where they are new, each with the key that signs it."""
    heads = await audit_chains.heads(db, workspaces)
    for workspace_id in sorted(workspaces - heads.keys()):
        await audit_chains.open_chain(
            db,
            workspace_id,
            bytes.fromhex(GENESIS),
            making.new_digest_key(master, workspace_id),
        )
    if len(heads) < len(workspaces):
        heads = await audit_chains.heads(db, workspaces)
    found = {}
    for workspace_id, head in heads.items():
        with _opening(workspace_id):
            digest_key = master.open(head.subject_key, making.digest_context(workspace_id))
            if head.kid is None:
                made = making.new_signing_key(master)
                await audit_keys.create_hot(
                    db, workspace_id, made.kid, made.public, made.secret_encrypted
                )
                found[workspace_id] = _Chain(head, made.kid, made.private, digest_key)
            else:
                key = making.open_signing_key(master, head.kid, head.secret_encrypted)
                found[workspace_id] = _Chain(head, head.kid, key, digest_key)
    return found


@contextmanager
def _opening(workspace_id: str) -> Iterator[None]:
    """Say whose secret it was that could not be opened."""
    try:
        yield
    except WrongMasterKey as error:
        raise _Closed(workspace_id, error) from error


async def _with_subjects(
    db: Connection, master: MasterKey, chains: dict[str, _Chain], events: list[_Event]
) -> _Batch:
    """The batch with the keys of all whom its personal members are about."""
    places = {
        (event.row.workspace_id, making.digest(chains[event.row.workspace_id].digest_key, subject))
        for event in events
        for subject in personal_members.subjects(event.payload)
    }
    if not places:
        return _Batch(chains, events, {})
    known = await audit_subjects.find(db, places)
    keys = {}
    for place, row in known.items():
        with _opening(place[0]):
            keys[place] = SubjectKey.open(master, place[0], row.id, row.key_encrypted)
    added = {}
    for place in sorted(places - keys.keys()):
        keys[place], sealed = SubjectKey.new(master, place[0])
        added[place] = keys[place].id, sealed
    if added:
        await audit_subjects.add(db, added)
    return _Batch(chains, events, keys)


def _sealed(batch: _Batch) -> list[Growth]:
    """What the batch adds to each chain: the part that takes the processor's time."""
    by_chain = sorted(batch.events, key=lambda event: str(event.row.workspace_id))
    return [
        _grown(batch, batch.chains[workspace_id], list(events))
        for workspace_id, events in groupby(by_chain, key=lambda event: event.row.workspace_id)
    ]


def _grown(batch: _Batch, chain: _Chain, events: list[_Event]) -> Growth:
    head = chain.head
    before, previous, instant = head.size, head.head_hash.hex(), head.head_at
    rows = []
    for number, event in enumerate(events, start=before + 1):
        row = event.row
        instant = in_order(milliseconds(row.occurred_at), instant)
        entry = Entry(
            new_id("aud"),
            row.workspace_id,
            number,
            row.event_type,
            row.actor_id,
            row.actor_type,
            row.entity_type,
            row.entity_id,
            personal_members.encrypted(event.payload, _encrypting(batch, chain)),
            instant,
        )
        sealed = seal(entry, previous, chain.kid, chain.key)
        rows.append(
            SealedRow(
                entry.workspace_id,
                number,
                entry.id,
                entry.event_type,
                entry.actor_id,
                entry.actor_type,
                entry.entity_type,
                entry.entity_id,
                canonical(entry.payload).decode(),
                bytes.fromhex(previous),
                bytes.fromhex(sealed.entry_hash),
                instant,
                base64.b64decode(sealed.signature),
                sealed.signing_key_id,
            )
        )
        previous = sealed.entry_hash
    known = _frontier(before, head.frontier)
    made = merkle.grow(before, (row.entry_hash for row in rows), known)
    known |= made
    size = before + len(rows)
    return Growth(
        head.workspace_id,
        before,
        rows,
        [(node.level, node.number, value) for node, value in made.items() if node.level],
        b"".join(known[node] for node in merkle.root_nodes(size)),
    )


def _encrypting(batch: _Batch, chain: _Chain) -> personal_members.Encrypt:
    workspace_id = chain.head.workspace_id

    def encrypt(subject: str, member: str, value: str) -> tuple[str, str]:
        key = batch.subjects[workspace_id, making.digest(chain.digest_key, subject)]
        return key.id, key.encrypt(member, value)

    return encrypt


def _frontier(size: int, stored: bytes) -> dict[merkle.Node, bytes]:
    """The complete subtrees that a chain's tree consists of, from the row of its head."""
    hashes = [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)]
    return dict(zip(merkle.root_nodes(size), hashes, strict=True))
