#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography==50.0.2", "rfc8785==0.1.4"]
# ///
r"""Check an audit log of a Rensei server without trusting the server, or this project.

    pip install cryptography==50.0.2 rfc8785==0.1.4

    python verify.py bundle.jsonl.gz --checkpoint kept.txt
    python verify.py https://rensei.example --workspace org_demo --key rsk_live_... \
        --checkpoint kept.txt

The source is a bundle (the file that the server exports) or a server's address. `--checkpoint`
names a file with one or more checkpoints that were kept away from the server, and may be repeated:
what a kept checkpoint covers cannot be changed unseen, what none covers can. `--jwks` names a file
or an address with the public keys; without it they are the bundle's own or the server's.

Exit status: 0, nothing is wrong with what could be checked; 1, something is wrong, and the first
bad row is named; 2, it could not be checked.

This file stands alone on purpose. Rows are read one at a time: memory grows with the number of kept
checkpoints, not with the log.
"""

import argparse
import base64
import binascii
import gzip
import hashlib
import io
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import IO, Any, Final, NoReturn, cast

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GENESIS: Final = "0" * 64
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
HASHED: Final = {
    "actorId",
    "actorType",
    "entityId",
    "entityType",
    "eventType",
    "id",
    "occurredAt",
    "payload",
    "sequenceNumber",
    "workspaceId",
}
SIGNED: Final = HASHED | {"prevHash", "entryHash", "signingKeyId"}
NULLABLE: Final = {"actorId", "entityId", "entityType"}
TEXTS: Final = SIGNED - NULLABLE - {"payload", "sequenceNumber"}
HEX: Final = re.compile(r"[0-9a-f]{64}")
INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
SAFE: Final = 2**53 - 1
LONGEST_LINE: Final = 64 * 1024 * 1024
DASH: Final = "\N{EM DASH} "
SECONDS_TO_ANSWER: Final = 300

Kept = dict[int, tuple[bytes, str]]
"""Roots by size, and where each checkpoint was read."""


class Unreadable(Exception):
    """It cannot be checked: exit status 2."""


class BadProof(Exception):
    """A proof that does not have the shape its sizes demand."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong; `kind` is a word for machines."""

    kind: str
    text: str
    row: int | None = None
    last_row: int | None = None


class Bad(Exception):
    """The first bad row: checking the rows ends here."""

    def __init__(self, kind: str, text: str, row: int, last_row: int | None = None) -> None:
        self.finding = Finding(kind, text, row, last_row)
        super().__init__(text)


@dataclass
class Report:
    """What was found, proved and left unproved."""

    workspace: str = ""
    findings: list[Finding] = field(default_factory=list)
    proved: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)


# --- JSON, read so strictly that no two readers can differ --------------------------------------


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member appears twice")
    return found


def _double(text: str) -> float:
    """A number that is no small integer: it must be the shortest form of the double it stands for,
    or what is hashed would not be what is read.
    """
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError(f"the number {text[:40]} is none that JSON can hold exactly")
    return number


def _integer(text: str) -> int | float:
    if len(text) < 16 or (len(text) < 18 and abs(int(text)) <= SAFE):
        return int(text)
    return _double(text)


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_double,
    parse_constant=_refused,
)


def read_json(text: bytes | str) -> Any:
    """Decode; raises ValueError for anything that two readers might understand differently."""
    try:
        return _JSON.decode(text.decode() if isinstance(text, bytes) else text)
    except (ArithmeticError, RecursionError) as wrong:
        raise ValueError(str(wrong)) from wrong


def _base64(text: Any, length: int | None = None) -> bytes:
    if not isinstance(text, str):
        raise ValueError("base64 is a text")
    value = base64.b64decode(text, validate=True)
    if base64.b64encode(value).decode() != text or length not in {None, len(value)}:
        raise ValueError(f"{text[:60]!r} is not the base64 of {length or 'some'} bytes")
    return value


# --- The tree of RFC 6962, checked as RFC 9162 section 2.1 says ---------------------------------


def leaf_hash(entry_hash: str) -> bytes:
    return hashlib.sha256(b"\x00" + bytes.fromhex(entry_hash)).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The largest complete subtrees of all leaves so far; about twenty hashes for a million."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf = node_hash(self.peaks.pop(), leaf)
            size >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        value = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            value = node_hash(left, value)
        return value


def climb(leaf: bytes, number: int, size: int, proof: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The root that a proof of inclusion leads to, and its hashes to the left of the leaf.

    Those are, from left to right, the largest complete subtrees over all leaves before it.
    """
    value, lefts, last = leaf, [], size - 1
    for sibling in proof:
        if last == 0:
            raise BadProof
        if number & 1 or number == last:
            value = node_hash(sibling, value)
            lefts.append(sibling)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        number, last = number >> 1, last >> 1
    if last:
        raise BadProof
    return value, lefts[::-1]


def is_consistent(
    old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes
) -> bool:
    """Whether the tree with the old root is how the other began."""
    if old == 0:
        return old_root == EMPTY_ROOT and not proof
    if old == size:
        return old_root == root and not proof
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    number, last = old - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    if not hashes or not 0 < old < size:
        return False
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and before == old_root and after == root


# --- Keys ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A public key of the workspace, and the instant from which it may sign no more."""

    public: Ed25519PublicKey
    raw: bytes
    revoked_at: datetime | None


def _instant(text: Any) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} names no time zone")
    return instant


def read_keys(document: Any, workspace: str) -> dict[str, Key]:
    """The workspace's keys of a JWKS, by id; keys of other workspaces are left out."""
    found: dict[str, Key] = {}
    try:
        for jwk in document["keys"]:
            if (jwk.get("kty", "OKP"), jwk.get("crv", "Ed25519")) != ("OKP", "Ed25519"):
                continue
            if jwk["rensei:workspace_id"] != workspace:
                continue
            raw = base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4))
            revoked = jwk.get("rensei:revoked_at")
            key = Key(
                Ed25519PublicKey.from_public_bytes(raw), raw, _instant(revoked) if revoked else None
            )
            if found.setdefault(jwk["kid"], key).raw != raw:
                raise Unreadable(f"the key id {jwk['kid']} stands for two keys")
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as wrong:
        raise Unreadable(f"the keys cannot be read: {wrong!r}") from wrong
    return found


def compare_keys(trusted: dict[str, Key], shown: Mapping[str, Key]) -> list[Finding]:
    """What the keys that were kept say against those shown now; revocations shown now count too."""
    findings = []
    for kid, key in trusted.items():
        other = shown.get(kid)
        if other is None:
            findings.append(Finding("keys", f"the key {kid} is no longer shown"))
        elif other.raw != key.raw:
            findings.append(Finding("keys", f"the key {kid} is another one than it was"))
        elif key.revoked_at and other.revoked_at != key.revoked_at:
            findings.append(Finding("keys", f"the revocation of the key {kid} was changed"))
        elif other.revoked_at:
            trusted[kid] = other
    return findings


# --- Checkpoints: C2SP tlog-checkpoint in a C2SP signed note ------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """A signed head of the tree."""

    origin: str
    size: int
    root: bytes
    body: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def is_of(self, workspace: str) -> bool:
        return self.origin.endswith(f"/audit/{workspace}")

    def is_signed(self, keys: Mapping[str, Key]) -> bool:
        """Whether one of the keys has signed it, and none of them wrongly."""
        start = self.origin.encode() + b"\n\x01"
        known = {hashlib.sha256(start + key.raw).digest()[:4]: key for key in keys.values()}
        good = False
        for name, value in self.signatures:
            if name == self.origin and value[:4] in known:
                try:
                    known[value[:4]].public.verify(value[4:], self.body)
                except InvalidSignature:
                    return False
                good = True
        return good


def parse_checkpoint(text: str) -> Checkpoint:
    """Read one checkpoint; raises ValueError."""
    head, _, below = text.partition("\n\n")
    origin, size, root, *_ = lines = head.split("\n")
    if not origin or not SIZE.fullmatch(size) or not all(lines) or not below.endswith("\n"):
        raise ValueError("no checkpoint")
    signatures = []
    for line in below.removesuffix("\n").split("\n"):
        name, _, encoded = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH) or not name:
            raise ValueError("no signature line")
        signatures.append((name, _base64(encoded)))
    body = (head + "\n").encode()
    return Checkpoint(origin, int(size), _base64(root, 32), body, tuple(signatures))


def checkpoints_of(lines: Iterable[str]) -> Iterator[Checkpoint | None]:
    """The checkpoints of a file, one after the other; None for one that the file's end cuts off."""
    gathered: list[str] = []
    below = False
    for line in lines:
        signature = "\n" in gathered and line.startswith(DASH)
        if below and not signature:
            yield parse_checkpoint("".join(gathered))
            gathered.clear()
        if gathered or line != "\n":
            gathered.append(line)
        below = signature
    if below and gathered[-1].endswith("\n"):
        yield parse_checkpoint("".join(gathered))
    elif gathered:
        yield None


def read_kept(
    files: Sequence[str], workspace: str, keys: Mapping[str, Key], report: Report
) -> Kept:
    """The kept checkpoints of this workspace that its keys have signed."""
    kept: Kept = {}
    for name in files:
        seen = 0
        try:
            with open(name, encoding="utf-8", newline="\n") as lines:
                for point in checkpoints_of(lines):
                    if point is None:
                        report.unproved.append(
                            f"anything by the last checkpoint in {name}: it is cut off"
                        )
                        continue
                    if not point.is_of(workspace):
                        continue
                    seen += 1
                    told = f"of {point.size:,} rows in {name}"
                    if not point.is_signed(keys):
                        report.findings.append(
                            Finding(
                                "checkpoint-signature",
                                f"the checkpoint {told} is signed by none of the workspace's keys:"
                                " the file was changed, or a key is no longer shown",
                            )
                        )
                    elif kept.setdefault(point.size, (point.root, name))[0] != point.root:
                        report.findings.append(
                            Finding(
                                "checkpoint-conflict",
                                f"the checkpoint {told} contradicts another of the same size, and"
                                " the workspace's keys have signed both",
                            )
                        )
        except (OSError, ValueError) as wrong:
            raise Unreadable(f"{name} holds no readable checkpoints: {wrong}") from wrong
        if not seen:
            raise Unreadable(f"{name} holds no checkpoint of {workspace}")
    return kept


# --- Rows ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _text(text: str | None) -> bytes:
    return rfc8785.dumps(text)


def _object(members: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (n.encode(), members[n]) for n in sorted(members)) + b"}"


def _is_instant(text: str) -> bool:
    """Whether it is written as the log writes instants, so that texts sort as instants do."""
    try:
        return bool(INSTANT.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:
        return False


class Rows:
    """Follows the rows of one workspace from the first that is shown."""

    def __init__(self, workspace: str, first: int, keys: Mapping[str, Key]) -> None:
        self.workspace = workspace
        self.next = first
        self.prev_hash = GENESIS if first == 1 else None
        self.occurred_at = ""
        self.keys = keys
        self.uncovered: set[str] = set()

    def take(self, event: Mapping[str, Any]) -> bytes:
        """Check one row against all before it; returns its leaf of the tree."""
        self._shape(event)
        row = self.next
        if event["workspaceId"] != self.workspace:
            raise Bad("workspace", f"it is a row of workspace {event['workspaceId']}", row)
        self._order(event, row)
        if self.prev_hash is not None and event["prevHash"] != self.prev_hash:
            raise Bad("previous-hash", "it does not follow the row before: prevHash differs", row)

        try:
            members = {name: self._canonical(event[name]) for name in HASHED}
            hashed = hashlib.sha256(_object(members) + event["prevHash"].encode()).hexdigest()
        except (ValueError, RecursionError) as wrong:
            raise Bad("hash", f"it cannot be what was hashed: {wrong}", row) from wrong
        if hashed != event["entryHash"]:
            raise Bad("hash", "its content is not what its entryHash was made of", row)

        self._signature(event, members, row)
        if event["occurredAt"] < self.occurred_at:
            told = f"it goes back in time, from {self.occurred_at} to {event['occurredAt']}"
            raise Bad("time", told, row)

        self.uncovered.update(event.keys() - SIGNED - {"signature", "type"})
        self.prev_hash = hashed
        self.occurred_at = event["occurredAt"]
        self.next += 1
        return leaf_hash(hashed)

    def _shape(self, event: Mapping[str, Any]) -> None:
        missing = (SIGNED | {"signature"}) - event.keys()
        if missing:
            raise Bad("malformed", f"it lacks {', '.join(sorted(missing))}", self.next)
        number = event["sequenceNumber"]
        if (
            not all(isinstance(event[name], str) for name in TEXTS)
            or not isinstance(event["payload"], dict)
            or not isinstance(number, int)
            or isinstance(number, bool)
            or not all(isinstance(event[name], str | None) for name in NULLABLE)
            or not HEX.fullmatch(event["entryHash"])
            or not HEX.fullmatch(event["prevHash"])
            or not _is_instant(event["occurredAt"])
        ):
            raise Bad("malformed", "a member has not the form that the log gives it", self.next)

    def _order(self, event: Mapping[str, Any], row: int) -> None:
        number = event["sequenceNumber"]
        if number > row:
            raise Bad("gap", f"missing; row {number} comes next", row, number - 1)
        if number < row:
            raise Bad("order", f"row {number} comes where row {row} should be", row)

    def _signature(self, event: Mapping[str, Any], members: dict[str, bytes], row: int) -> None:
        kid = event["signingKeyId"]
        key = self.keys.get(kid)
        if key is None:
            raise Bad("key-unknown", f"it names the key {kid}, none of those given", row)
        for name in ("prevHash", "entryHash", "signingKeyId"):
            members[name] = rfc8785.dumps(event[name])
        digest = hashlib.sha256(_object(members)).digest()
        try:
            key.public.verify(_base64(event["signature"], 64), digest)
        except (InvalidSignature, ValueError) as wrong:
            raise Bad("signature", f"its signature is not that of the key {kid}", row) from wrong
        if key.revoked_at and _instant(event["occurredAt"]) > key.revoked_at:
            told = f"it is signed with the key {kid}, revoked at {key.revoked_at.isoformat()}"
            raise Bad("revoked", told, row)

    @staticmethod
    def _canonical(value: Any) -> bytes:
        return _text(value) if isinstance(value, str) or value is None else rfc8785.dumps(value)


# --- Bundles ------------------------------------------------------------------------------------


class Bundle:
    """The lines of a bundle, one at a time."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self.header = self._line()
        header = self.header
        if header.get("type") != "bundle" or header.get("version") != 1:
            raise Unreadable(f"{name} is no bundle of version 1")
        sizes = [header.get(each) for each in ("from", "to", "treeSize")]
        if not all(isinstance(size, int) and size >= 0 for size in sizes) or not sizes[0]:
            raise Unreadable(f"{name} does not say which rows it holds")
        if not isinstance(header.get("workspaceId"), str):
            raise Unreadable(f"{name} does not say whose rows it holds")
        self.workspace: str = header["workspaceId"]
        self.first, self.last, self.size = header["from"], header["to"], header["treeSize"]
        self.keys: Any = None
        self.checkpoint: Checkpoint | None = None
        self.proofs: dict[int, list[bytes]] = {}
        self._ahead = self._head()

    def events(self, row: Callable[[], int]) -> Iterator[dict[str, Any]]:
        """The rows; `row` says which one is expected, should a line not be one."""
        line = self._ahead
        count = 0
        while True:
            if line["type"] == "broken":
                raise Bad("malformed", f"it cannot be read: {line['text']}", row())
            if line["type"] != "event":
                break
            yield line
            count += 1
            line = self._row()
        if line["type"] != "end" or line.get("count") != count:
            raise Unreadable(f"{self._name} does not end as it should after {count:,} rows")
        if self._stream.read(1):
            raise Unreadable(f"{self._name} goes on after its end")

    def _head(self) -> dict[str, Any]:
        """Read on to the first row."""
        line = self._row()
        while line["type"] not in {"event", "end", "broken"}:
            if line["type"] == "keys":
                self.keys = line
            elif line["type"] == "checkpoint":
                self.checkpoint = parse_checkpoint(str(line.get("text")))
            line = self._row()
        return line

    def _row(self) -> dict[str, Any]:
        """The next line that is no proof."""
        try:
            line = self._line()
            while line["type"] == "proof":
                self._proof(line)
                line = self._line()
        except ValueError as wrong:
            return {"type": "broken", "text": str(wrong)}
        return line

    def _proof(self, line: dict[str, Any]) -> None:
        if line.get("kind") != "inclusion":
            return
        try:
            hashes = [_base64(each, 32) for each in line["hashes"]]
            if line["treeSize"] == self.size:
                self.proofs[line["sequenceNumber"]] = hashes
        except (KeyError, TypeError, ValueError) as wrong:
            raise Unreadable(f"{self._name} holds a malformed proof") from wrong

    def _line(self) -> dict[str, Any]:
        text = self._stream.readline(LONGEST_LINE)
        if not text.endswith(b"\n"):
            raise Unreadable(f"{self._name} ends in the middle")
        line = read_json(text)
        if not isinstance(line, dict) or not isinstance(line.get("type"), str):
            raise ValueError("a line of a bundle is an object with a type")
        return line


# --- The check as a whole -----------------------------------------------------------------------


class Check:
    """One run over one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        keys: Mapping[str, Key],
        kept: Kept,
        report: Report,
        consistency: Callable[[int, int], list[bytes]] | None = None,
        *,
        may_be_older: bool = False,
        is_all: bool = False,
    ) -> None:
        self.bundle = bundle
        self.kept = kept
        self.report = report
        self.consistency = consistency
        self.may_be_older = may_be_older
        self.is_all = is_all
        self.rows = Rows(bundle.workspace, bundle.first, keys)
        self.tree = Tree()
        self.good = bundle.first - 1
        """Rows up to here are as the newest kept checkpoint that was met says."""
        self.used: list[int] = []
        self.head: bytes | None = None
        point = bundle.checkpoint
        if point is not None:
            if not point.is_of(bundle.workspace) or point.size != bundle.size:
                self._find("checkpoint", "the bundle's checkpoint is of another tree")
            elif not point.is_signed(keys):
                self._find(
                    "checkpoint-signature",
                    "the bundle's own checkpoint is signed by none of the workspace's keys",
                )
            else:
                self.head = point.root

    def run(self, progress: Callable[[int], None]) -> None:
        """Read all rows; what is wrong is in the report afterwards."""
        bundle = self.bundle
        started = bundle.first == 1
        if started:
            self._meet()
        before: list[bytes] = []
        last_leaf = b""
        for event in bundle.events(lambda: self.rows.next):
            leaf = self.rows.take(event)
            if not started:
                self._seed(leaf)
                started = True
            before, last_leaf = list(self.tree.peaks), leaf
            self.tree.append(leaf)
            self._meet()
            progress(self.rows.next - bundle.first)
        if self.rows.next <= bundle.last:
            told = f"the bundle says that it goes to row {bundle.last}, and ends before row"
            raise Bad("missing", f"{told} {self.rows.next}", self.rows.next, bundle.last)
        if self.rows.next > bundle.last + 1:
            told = f"the bundle says that it ends with row {bundle.last}, and goes on"
            raise Bad("order", told, bundle.last + 1)
        if self.is_all and bundle.last < bundle.size:
            told = f"the server shows a checkpoint of {bundle.size:,} rows, and not all of them"
            raise Bad("missing", told, bundle.last + 1, bundle.size)
        if last_leaf and self.head is not None and bundle.last < bundle.size:
            self._include(last_leaf, before)
        self._outside()

    def _seed(self, leaf: bytes) -> None:
        """Take all that lies before a range from the proof of its first row."""
        first = self.bundle.first
        proof = self.bundle.proofs.get(first)
        if proof is None or self.head is None:
            raise Unreadable(
                "a bundle that does not begin with row 1 needs a checkpoint and proofs"
            )
        try:
            root, peaks = climb(leaf, first - 1, self.bundle.size, proof)
        except BadProof:
            root, peaks = b"", []
        if root != self.head:
            told = "it is not in the tree of the bundle's checkpoint: its proof leads elsewhere"
            raise Bad("tree", told, first)
        self.tree = Tree(first - 1, peaks)
        self._meet()

    def _include(self, leaf: bytes, before: list[bytes]) -> None:
        """Show that the rows of a range are those of the checkpoint, by the proof of the last."""
        last = self.bundle.last
        proof = self.bundle.proofs.get(last)
        if proof is None:
            raise Unreadable(
                "a bundle that ends before its checkpoint needs a proof of its last row"
            )
        try:
            root, peaks = climb(leaf, last - 1, self.bundle.size, proof)
        except BadProof:
            root, peaks = b"", []
        if root != self.head or peaks != before:
            raise self._other_rows(last, "the tree of the bundle's own checkpoint holds")

    def _meet(self) -> None:
        """Compare the tree with the checkpoints of exactly this size."""
        size = self.tree.size
        root, name = self.kept.get(size, (None, ""))
        if root is not None and root != self.tree.root():
            told = f"the kept checkpoint of {size:,} rows ({name}) was made of"
            if size >= self.bundle.first:
                raise self._other_rows(size, told)
            self._find("checkpoint-inconsistent", f"{told} other rows than the log begins with now")
        elif root is not None:
            self.good = size
            self.used.append(size)
        if size == self.bundle.size and self.head not in {None, self.tree.root()}:
            raise self._other_rows(size, "the bundle's own checkpoint was made of")

    def _other_rows(self, last: int, what: str) -> Bad:
        """A wrong root may speak of any row since the last root that was right."""
        return Bad("tree", f"{what} other rows than these", min(self.good + 1, last), last)

    def _outside(self) -> None:
        """The kept checkpoints whose size lies before or after the rows that are shown."""
        bundle = self.bundle
        # A size that nobody has signed says nothing.
        shown = max(bundle.size if self.head else 0, self.rows.next - 1)
        newest = max(self.kept, default=0)
        if newest > shown and not self.may_be_older:
            told = (
                f"the kept checkpoint of {newest:,} rows ({self.kept[newest][1]}) covers them, and"
            )
            raise Bad(
                "missing", f"{told} the log that is shown has {shown:,} rows", shown + 1, newest
            )
        for size in sorted(each for each in self.kept.keys() - set(self.used) if each <= shown):
            root, name = self.kept[size]
            if self.consistency is None or self.head is None:
                continue
            proof = self.consistency(size, bundle.size) if size else []
            if is_consistent(size, bundle.size, proof, root, self.head):
                self.used.append(size)
            else:
                self._find(
                    "checkpoint-inconsistent",
                    f"the kept checkpoint of {size:,} rows ({name}) was made of other rows than"
                    " the log begins with now",
                )

    def _find(self, kind: str, text: str) -> None:
        self.report.findings.append(Finding(kind, text))


def conclude(check: Check, source_of_keys: str | None) -> None:
    """Say what was proved, and what nobody could prove."""
    bundle, report = check.bundle, check.report
    proved, unproved = report.proved, report.unproved
    bad = next((each for each in report.findings if each.row is not None), None)
    first, last = bundle.first, check.rows.next - 1
    if bad is not None and bad.row is not None:
        last = min(last, bad.row - 1)
    if last >= first:
        shown = f"rows {first:,} to {last:,}"
        proved.append(
            f"{shown} follow one another without a gap, never go back in time, have the content"
            " that their hashes were made of, and are signed by keys of the workspace, none after"
            " its revocation"
        )
        if bad is None and check.head is not None and bundle.size >= last:
            proved.append(
                f"{shown} are in the tree of the newest checkpoint ({bundle.size:,} rows)"
            )
        covered = _covered(check, last)
        if covered >= first:
            proved.append(f"rows {first:,} to {covered:,} are those that a kept checkpoint covers")
        if covered < last:
            begin = max(first, covered + 1)
            unproved.append(
                f"that rows {begin:,} to {last:,} are as they were first written: no kept"
                " checkpoint covers them, and who holds database and keys could have written them"
                " anew"
            )
    earlier = [size for size in check.used if 0 < size < first]
    if bad is None and earlier:
        proved.append(
            f"the log began with the {max(earlier):,} rows that a kept checkpoint covers, which are"
            " not shown here"
        )
    if bad is None and (first > 1 or bundle.size > last):
        unproved.append(
            f"anything else about other rows than {first:,} to {last:,} of {bundle.size:,}: the"
            " bundle does not hold them"
        )
    if bad is not None:
        unproved.append("anything about the rows after the first bad one: they were not judged")
    else:
        unproved.append(
            f"that nothing came after row {max(last, bundle.size):,}: a server can withhold its"
            " newest rows"
        )
    left = sorted(check.kept.keys() - set(check.used))
    if bad is None and left:
        unproved.append(
            f"that the log agrees with {len(left):,} of the kept checkpoints: the bundle neither"
            " reaches them nor can carry a proof for them (a server's address instead of a bundle"
            " can)"
        )
    if source_of_keys is not None:
        unproved.append(
            f"that the keys are the workspace's: they came from {source_of_keys}; keep the JWKS and"
            " give it with --jwks"
        )
    if check.rows.uncovered:
        names = ", ".join(sorted(check.rows.uncovered))
        unproved.append(f"what the rows say in {names}: no hash covers it")
    unproved.append("that what was recorded is true, and that all that happened was recorded")


def _covered(check: Check, last: int) -> int:
    """The last row that a kept checkpoint, met or consistent with the bundle's, covers."""
    beyond = [size for size in check.used if size >= last]
    return last if beyond else max([check.good if check.used else 0, *(check.used or [0])])


# --- Sources ------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A credential goes to the address it was meant for, and nowhere else."""

    def redirect_request(self, *given: Any, **named: Any) -> None:
        return None


class Server:
    """The routes of a server that are needed here."""

    def __init__(self, address: str, workspace: str, key: str | None) -> None:
        self._address = address.rstrip("/")
        self._workspace = workspace
        self._key = key
        self._opener = urllib.request.build_opener(_NoRedirects)

    def jwks(self) -> Any:
        return read_json(
            self._get(f"/.well-known/audit-keys/{urllib.parse.quote(self._workspace)}")
        )

    def bundle(self, first: int) -> io.RawIOBase:
        stream: io.RawIOBase = self._open("/api/audit/export", {"from": first})
        return stream

    def consistency(self, old: int, size: int) -> list[bytes]:
        answer = read_json(self._get("/api/audit/consistency", {"from": old, "to": size}))
        return [_base64(each, 32) for each in answer["hashes"]]

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        with self._open(path, query) as answer:
            body: bytes = answer.read(LONGEST_LINE)
            return body

    def _open(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        url = self._address + path
        if query is not None:
            url += "?" + urllib.parse.urlencode({**query, "workspaceId": self._workspace})
        # A cache may not know yet that a key was made or revoked.
        headers = {"Cache-Control": "no-cache"}
        if self._key and not path.startswith("/.well-known/"):
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            return self._opener.open(
                urllib.request.Request(url, headers=headers), timeout=SECONDS_TO_ANSWER
            )
        except urllib.error.HTTPError as refused:
            told = refused.read(2000).decode(errors="replace")
            raise Unreadable(f"the server refused {path}: {refused.code} {told}") from refused


class Progress:
    """Tells a waiting person, once a second on a terminal and every ten elsewhere."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total = total
        self._started = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._pause = 1 if self._terminal else 10
        self._quiet = quiet

    def __call__(self, done: int) -> None:
        if self._quiet or done % 128:
            return
        now = time.monotonic()
        if now - self._told < self._pause:
            return
        self._told = now
        speed = done / (now - self._started)
        left = max(0, self._total - done) / speed
        text = f"{done:,} of {self._total:,} rows, {speed:,.0f} a second, {left:,.0f} s left"
        sys.stderr.write(f"\r{text}   " if self._terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._terminal and self._told > self._started:
            sys.stderr.write("\n")


def _json_of(name: str) -> Any:
    """A JSON document from a file or an address."""
    if name.startswith(("http://", "https://")):
        with urllib.request.build_opener(_NoRedirects).open(name, timeout=60) as answer:
            return read_json(answer.read(LONGEST_LINE))
    with open(name, "rb") as file:
        return read_json(file.read(LONGEST_LINE))


def _plain(stream: "io.BufferedReader[Any]") -> IO[bytes]:
    """The lines themselves, whether something on the way has unpacked them already or not."""
    if stream.peek(2)[:2] != b"\x1f\x8b":
        return stream
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))


def verify(asked: argparse.Namespace, report: Report) -> None:
    """Check what was asked for; raises `Unreadable` where that cannot be done."""
    server: Server | None = None
    if asked.source.startswith(("http://", "https://")):
        if not asked.workspace:
            raise Unreadable("a server's address needs --workspace")
        server = Server(asked.source, asked.workspace, asked.key)
        raw = server.bundle(asked.first)
    else:
        raw = open(asked.source, "rb", buffering=0)
    with raw, io.BufferedReader(raw) as stream, _plain(stream) as plain:
        bundle = Bundle(plain, asked.source)
        report.workspace = bundle.workspace
        if asked.workspace and bundle.workspace != asked.workspace:
            raise Unreadable(f"{asked.source} is of {bundle.workspace}, not {asked.workspace}")
        keys, source_of_keys = _keys(asked, bundle, server, report)
        kept = read_kept(asked.checkpoint, bundle.workspace, keys, report)
        if server is not None and bundle.first != asked.first:
            raise Unreadable(f"the server shows rows from {bundle.first:,}, not {asked.first:,} on")
        consistency = server.consistency if server else None
        check = Check(
            bundle,
            keys,
            kept,
            report,
            consistency,
            may_be_older=asked.older,
            is_all=server is not None,
        )
        progress = Progress(bundle.last - bundle.first + 1, asked.quiet)
        try:
            check.run(progress)
        except Bad as bad:
            report.findings.insert(0, bad.finding)
        finally:
            progress.end()
    if not report.findings and kept and not check.used:
        raise Unreadable("none of the kept checkpoints can be compared with this bundle")
    conclude(check, source_of_keys)


def _keys(
    asked: argparse.Namespace, bundle: Bundle, server: Server | None, report: Report
) -> tuple[dict[str, Key], str | None]:
    """The keys that count, and where they came from unless they were given."""
    own = read_keys(bundle.keys, bundle.workspace) if bundle.keys else {}
    if asked.jwks:
        keys: dict[str, Key] = {}
        for name in asked.jwks:
            given = read_keys(_json_of(name), bundle.workspace)
            # A later file knows more: its revocations and new keys count.
            report.findings += compare_keys(keys, given)
            keys = {**given, **keys}
        report.findings += compare_keys(keys, own) if bundle.keys else []
        return keys, None
    if server is not None:
        keys = read_keys(server.jwks(), bundle.workspace)
        report.findings += compare_keys(keys, own) if bundle.keys else []
        return keys, "the server itself"
    if not bundle.keys:
        raise Unreadable("the bundle holds no keys; give them with --jwks")
    return own, "the bundle itself"


def show(report: Report, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print(
            json.dumps(
                {
                    "workspaceId": report.workspace,
                    "findings": [vars(each) for each in report.findings],
                    "proved": report.proved,
                    "unproved": report.unproved,
                },
                indent=2,
            )
        )
        return
    print(f"Audit log of {report.workspace}: {'BAD' if report.findings else 'good'}")
    for each in report.findings:
        where = ""
        if each.row is not None:
            span = each.last_row is not None and each.last_row != each.row
            where = f"rows {each.row:,} to {each.last_row:,}: " if span else f"row {each.row:,}: "
        print(f"\nWRONG ({each.kind}): {where}{each.text}")
    for title, lines in (("Proved", report.proved), ("Not proved", report.unproved)):
        if lines:
            print(f"\n{title}:")
        for line in lines:
            print(f"  - {line}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Check an audit log of a Rensei server.",
        epilog="Exit status: 0 nothing wrong, 1 something is wrong, 2 it could not be checked.",
    )
    parser.add_argument("source", help="a bundle, or a server's address")
    parser.add_argument("--workspace", help="whose log; needed with a server's address")
    parser.add_argument(
        "--key",
        default=os.environ.get("RENSEI_KEY"),
        help="an API key for the server; the variable RENSEI_KEY keeps it out of the process list",
    )
    parser.add_argument(
        "--jwks",
        action="append",
        default=[],
        help="public keys, a file or an address; oldest first",
    )
    parser.add_argument(
        "--checkpoint", action="append", default=[], help="a file with checkpoints that were kept"
    )
    parser.add_argument(
        "--from",
        dest="first",
        type=int,
        default=1,
        help="with a server's address: the first row, one after those already checked",
    )
    parser.add_argument(
        "--older",
        action="store_true",
        help="the bundle was made before some of the kept checkpoints: rows that it does not reach"
        " yet are not taken for removed",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    asked = parser.parse_args(arguments)
    report = Report()
    try:
        verify(asked, report)
    except (Unreadable, OSError, EOFError, zlib.error, ValueError) as wrong:
        print(f"It could not be checked: {wrong}", file=sys.stderr)
        if not report.findings:
            return 2
    show(report, asked.json)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
