"""Checkpoints of a chain: C2SP tlog-checkpoint bodies in C2SP signed notes.

A checkpoint says how many rows a chain has and what the head of their Merkle tree is. The origin,
which is the name of the signing key too, is `<host>/audit/<workspaceId>`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = b"\x01"
SIGNATURE_START: Final = "\N{EM DASH} "
KEY_ID_BYTES: Final = 4
ROOT_BYTES: Final = 32
MOST_SIGNATURES: Final = 64
SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
NAME: Final = re.compile(r"[^\s+\x00-\x1f]+")
LINE: Final = re.compile(r"[^\x00-\x1f]+")


class MalformedCheckpoint(ValueError):
    """A text that is no checkpoint; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below a note: who signed, the first bytes of the key's hash, and the signature."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        encoded = base64.b64encode(self.key_id + self.value).decode()
        return f"{SIGNATURE_START}{self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a chain's tree at one size; extension lines are optional and opaque."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode())
        return "".join(f"{line}\n" for line in (*lines, *self.extensions))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signatures."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    def text(self) -> str:
        """The signed note."""
        return self.checkpoint.body() + "\n" + "".join(each.line() for each in self.signatures)


def origin(host: str, workspace_id: str) -> str:
    """What a workspace's chain on this host is called."""
    return f"{host}/audit/{workspace_id}"


def note_key_id(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes that say which key a signature line is of."""
    told = name.encode() + b"\n" + ED25519 + key.public_bytes_raw()
    return hashlib.sha256(told).digest()[:KEY_ID_BYTES]


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> SignedCheckpoint:
    """A checkpoint signed by the chain's own key."""
    name = checkpoint.origin
    value = key.sign(checkpoint.body().encode())
    return SignedCheckpoint(
        checkpoint, (Signature(name, note_key_id(name, key.public_key()), value),)
    )


def signers(signed: SignedCheckpoint, keys: Mapping[str, Ed25519PublicKey]) -> list[str]:
    """Ids of the given keys that have signed it.

    A line of one of these keys whose signature is wrong makes the whole note worth nothing.
    """
    name = signed.checkpoint.origin
    body = signed.checkpoint.body().encode()
    known = {note_key_id(name, key): (kid, key) for kid, key in keys.items()}
    found = []
    for each in signed.signatures:
        if each.name == name and each.key_id in known:
            kid, key = known[each.key_id]
            try:
                key.verify(each.value, body)
            except InvalidSignature:
                return []
            found.append(kid)
    return found


def parse(text: str) -> SignedCheckpoint:
    """Read one signed checkpoint, strictly; raises `MalformedCheckpoint`."""
    body, blank, below = text.partition("\n\n")
    if not blank:
        raise MalformedCheckpoint("no blank line between the text and its signatures")
    lines = body.split("\n")
    if len(lines) < 3 or not all(LINE.fullmatch(line) for line in lines):
        raise MalformedCheckpoint("needs an origin, a size and a root, one a line")
    name, size, encoded, *extensions = lines
    if not SIZE.fullmatch(size):
        raise MalformedCheckpoint(f"the size {size!r} is no whole number")
    root = _base64(encoded)
    if len(root) != ROOT_BYTES:
        raise MalformedCheckpoint("the root is not 32 bytes")
    if not below.endswith("\n") or below.count("\n") > MOST_SIGNATURES:
        raise MalformedCheckpoint("the signatures are not lines, or too many")
    signatures = tuple(_signature(line) for line in below.removesuffix("\n").split("\n"))
    return SignedCheckpoint(Checkpoint(name, int(size), root, tuple(extensions)), signatures)


def parse_many(lines: Iterable[str]) -> Iterator[SignedCheckpoint]:
    """Read a file of checkpoints, one after the other, with or without blank lines between.

    A checkpoint that the file's end cuts off is malformed.
    """
    gathered: list[str] = []
    signed = False
    for line in lines:
        below = line.startswith(SIGNATURE_START) and "\n" in gathered
        if signed and not below:
            yield parse("".join(gathered))
            gathered, signed = [], False
        if gathered or line != "\n":
            gathered.append(line)
        signed = below
    if gathered:
        yield parse("".join(gathered))


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(SIGNATURE_START).partition(" ")
    if not line.startswith(SIGNATURE_START) or not NAME.fullmatch(name):
        raise MalformedCheckpoint(f"{line!r} is no signature line")
    value = _base64(encoded)
    if len(value) <= KEY_ID_BYTES:
        raise MalformedCheckpoint("a signature is too short")
    return Signature(name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def _base64(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise MalformedCheckpoint(f"{text!r} is no base64") from wrong
    if base64.b64encode(value).decode() != text:
        raise MalformedCheckpoint(f"{text!r} is base64 with bits to spare")
    return value
