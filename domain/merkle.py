"""The Merkle tree of RFC 6962 section 2.1 over the rows of a chain.

A node (level, number) is the complete subtree over the leaves from number * 2**level on. It never
changes once all its leaves are there, so each is stored once; every root and every proof of any
size is made from O(log n) of them. Leaves are counted from 0: the row with sequence number 1 is
leaf 0, and its data are the 32 bytes of its entry hash.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


class Node(NamedTuple):
    """A complete subtree of 2**level leaves; those of a level are numbered from 0."""

    level: int
    number: int


Nodes = Mapping[Node, bytes]
Range = tuple[int, int]
"""Leaves from the first number up to, not including, the second."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def grow(size: int, entry_hashes: Iterable[bytes], known: Nodes) -> dict[Node, bytes]:
    """The nodes that become complete when these leaves are appended to a tree of `size` leaves.

    `known` holds at least `root_nodes(size)`.
    """
    made: dict[Node, bytes] = {}
    for leaf, data in enumerate(entry_hashes, start=size):
        node, value = Node(0, leaf), leaf_hash(data)
        made[node] = value
        while node.number % 2:
            left = Node(node.level, node.number - 1)
            value = node_hash(made[left] if left in made else known[left], value)
            node = Node(node.level + 1, node.number // 2)
            made[node] = value
    return made


def root_nodes(size: int) -> list[Node]:
    """What `root` needs: the largest complete subtrees, from left to right."""
    return _nodes((0, size))


def root(size: int, known: Nodes) -> bytes:
    """The tree head of the first `size` leaves."""
    return _value((0, size), known) if size else EMPTY_ROOT


def inclusion_nodes(leaf: int, size: int) -> list[Node]:
    """What `inclusion` needs."""
    return [node for each in _path(leaf, size) for node in _nodes(each)]


def inclusion(leaf: int, size: int, known: Nodes) -> list[bytes]:
    """The audit path of a leaf in the tree of `size` leaves (section 2.1.1)."""
    return [_value(each, known) for each in _path(leaf, size)]


def consistency_nodes(old: int, size: int) -> list[Node]:
    """What `consistency` needs."""
    return [node for each in _subproof(old, size) for node in _nodes(each)]


def consistency(old: int, size: int, known: Nodes) -> list[bytes]:
    """The proof that the tree of `old` leaves is how the tree of `size` began (section 2.1.2)."""
    return [_value(each, known) for each in _subproof(old, size)]


def includes(entry_hash: bytes, leaf: int, size: int, proof: Sequence[bytes], head: bytes) -> bool:
    """Whether the proof shows that this is the leaf's data in the tree with this head."""
    if not 0 <= leaf < size or len(proof) != len(path := _path(leaf, size)):
        return False
    value = leaf_hash(entry_hash)
    for (start, _), sibling in zip(path, proof, strict=True):
        value = node_hash(sibling, value) if start < leaf else node_hash(value, sibling)
    return hmac.compare_digest(value, head)


def is_consistent(
    old: int, size: int, proof: Sequence[bytes], old_head: bytes, head: bytes
) -> bool:
    """Whether the proof shows that the tree with the old head is how the tree with `head` began."""
    if not 0 <= old <= size:
        return False
    if old in {0, size}:
        return not proof and old_head == (head if old == size else EMPTY_ROOT)
    parts = _subproof(old, size)
    if len(proof) != len(parts):
        return False
    # The whole of the old tree, where it is complete, is known to the asker and left out.
    values = dict(zip(parts, proof, strict=True))
    if old & (old - 1) == 0:
        values[0, old] = old_head
    return hmac.compare_digest(_fold((0, old), values), old_head) and hmac.compare_digest(
        _fold((0, size), values), head
    )


def _split(start: int, end: int) -> int:
    """Where RFC 6962 divides a range: after the largest power of two below its length."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _path(leaf: int, size: int) -> list[Range]:
    """The ranges beside a leaf, from the leaf up."""
    if not 0 <= leaf < size:
        raise ValueError(f"no leaf {leaf} in a tree of {size}")
    start, end, beside = 0, size, list[Range]()
    while end - start > 1:
        middle = _split(start, end)
        if leaf < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    return beside[::-1]


def _subproof(old: int, size: int) -> list[Range]:
    """The ranges of a proof of consistency, in its order."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} leaves never had {old}")
    if old in {0, size}:
        return []
    start, end, beside = 0, size, list[Range]()
    while end != old:
        middle = _split(start, end)
        if old <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    if start:
        beside.append((start, end))
    return beside[::-1]


def _nodes(leaves: Range) -> list[Node]:
    """The complete subtrees that a range of the tree consists of, from left to right."""
    start, end = leaves
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def _value(leaves: Range, known: Nodes) -> bytes:
    """The hash of a range of the tree, from its complete subtrees."""
    *left, value = (known[node] for node in _nodes(leaves))
    for each in reversed(left):
        value = node_hash(each, value)
    return value


def _fold(leaves: Range, values: Mapping[Range, bytes]) -> bytes:
    """The hash of a range, from the hashes of the ranges that it was divided into."""
    if leaves in values:
        return values[leaves]
    middle = _split(*leaves)
    return node_hash(_fold((leaves[0], middle), values), _fold((middle, leaves[1]), values))
