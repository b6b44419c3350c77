"""The tree against the recursive definitions of RFC 6962, and its published vectors."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import merkle
from domain.merkle import Node

# The leaves and heads that implementations of RFC 6962 share as their reference vectors.
LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
HEADS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def sha(data):
    return hashlib.sha256(data).digest()


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d):
    """MTH of section 2.1, word for word."""
    if not d:
        return sha(b"")
    if len(d) == 1:
        return sha(b"\x00" + d[0])
    k = largest_power_below(len(d))
    return sha(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m, d):
    """PATH of section 2.1.1, word for word."""
    if len(d) == 1:
        return []
    k = largest_power_below(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m, d, whole):
    """SUBPROOF of section 2.1.2, word for word."""
    if m == len(d):
        return [] if whole else [mth(d)]
    k = largest_power_below(len(d))
    if m <= k:
        return [*subproof(m, d[:k], whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def leaves(size):
    return [sha(b"row %d" % number) for number in range(size)]


def only(nodes, known):
    return {node: known[node] for node in nodes}


@pytest.mark.parametrize("size", range(9))
def test_the_published_heads(size):
    known = merkle.grow(0, LEAVES[:size], {})

    assert merkle.root(size, known).hex() == HEADS[size]


@given(st.lists(st.integers(0, 40), max_size=6))
def test_a_tree_grown_in_steps_has_the_nodes_of_the_definition(steps):
    rows = leaves(sum(steps))
    stored, size = {}, 0
    for step in steps:
        peaks = only(merkle.root_nodes(size), stored)
        made = merkle.grow(size, rows[size : size + step], peaks)
        assert not made.keys() & stored.keys()
        stored |= made
        size += step

    for (level, index), value in stored.items():
        assert value == mth(rows[index << level : (index + 1) << level])
    assert sorted(stored) == [
        Node(level, index) for level in range(size.bit_length()) for index in range(size >> level)
    ]


SIZES = st.integers(1, 130)


@given(SIZES)
def test_the_root_of_every_earlier_size(size):
    rows = leaves(size)
    known = merkle.grow(0, rows, {})

    for old in (0, 1, size // 3, size // 2, size - 1, size):
        assert merkle.root(old, only(merkle.root_nodes(old), known)) == mth(rows[:old])


@given(SIZES, st.data())
def test_inclusion_is_the_path_of_the_definition_and_verifies(size, data):
    leaf = data.draw(st.integers(0, size - 1))
    rows = leaves(size)
    known = merkle.grow(0, rows, {})

    proof = merkle.inclusion(leaf, size, only(merkle.inclusion_nodes(leaf, size), known))

    assert proof == path(leaf, rows)
    assert merkle.includes(rows[leaf], leaf, size, proof, mth(rows))


@given(SIZES, st.data())
def test_consistency_is_the_proof_of_the_definition_and_verifies(size, data):
    old = data.draw(st.integers(1, size))
    rows = leaves(size)
    known = merkle.grow(0, rows, {})

    proof = merkle.consistency(old, size, only(merkle.consistency_nodes(old, size), known))

    assert proof == subproof(old, rows, True)
    assert merkle.is_consistent(old, size, proof, mth(rows[:old]), mth(rows))


@given(SIZES, st.data())
def test_a_proof_of_inclusion_shows_nothing_else(size, data):
    leaf = data.draw(st.integers(0, size - 1))
    rows = leaves(size)
    head = mth(rows)
    proof = path(leaf, rows)
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != leaf)) if size > 1 else size

    assert not merkle.includes(sha(b"other"), leaf, size, proof, head)
    assert not merkle.includes(rows[leaf], other, size, proof, head)
    assert not merkle.includes(rows[leaf], leaf, size, proof, sha(b"other"))
    assert not merkle.includes(rows[leaf], leaf, size, [*proof, head], head)
    assert not merkle.includes(rows[leaf], leaf, 0, proof, head)
    for position in range(len(proof)):
        forged = [*proof]
        forged[position] = sha(b"other")
        assert not merkle.includes(rows[leaf], leaf, size, forged, head)
        assert not merkle.includes(rows[leaf], leaf, size, proof[:position], head)


@given(st.integers(2, 130), st.data())
def test_a_proof_of_consistency_shows_nothing_else(size, data):
    old = data.draw(st.integers(1, size - 1))
    rows = leaves(size)
    heads = mth(rows[:old]), mth(rows)
    proof = subproof(old, rows, True)
    rewritten = [*rows]
    rewritten[data.draw(st.integers(0, old - 1))] = sha(b"other")

    another = subproof(old, rewritten, True)
    assert another == proof or not merkle.is_consistent(old, size, another, *heads)
    assert not merkle.is_consistent(old, size, another, heads[0], mth(rewritten))
    assert not merkle.is_consistent(old, size, proof, sha(b"other"), heads[1])
    assert not merkle.is_consistent(old, size, proof, heads[0], sha(b"other"))
    assert not merkle.is_consistent(old, size, [*proof, heads[0]], *heads)
    assert not merkle.is_consistent(size, old, proof, heads[1], heads[0])
    for position in range(len(proof)):
        forged = [*proof]
        forged[position] = sha(b"other")
        assert not merkle.is_consistent(old, size, forged, *heads)


def test_an_empty_tree_is_how_every_tree_began():
    head = mth(leaves(5))

    assert merkle.consistency(0, 5, {}) == merkle.consistency(5, 5, {}) == []
    assert merkle.is_consistent(0, 5, [], merkle.EMPTY_ROOT, head)
    assert merkle.is_consistent(5, 5, [], head, head)
    assert not merkle.is_consistent(0, 5, [], head, head)
    assert not merkle.is_consistent(0, 5, [head], merkle.EMPTY_ROOT, head)
    assert not merkle.is_consistent(5, 5, [], head, merkle.EMPTY_ROOT)


def test_proofs_over_a_million_rows_need_a_few_dozen_nodes():
    size = 1_000_003

    assert max(len(merkle.inclusion_nodes(leaf, size)) for leaf in range(0, size, 997)) <= 40
    assert max(len(merkle.consistency_nodes(old, size)) for old in range(1, size, 997)) <= 60
    assert len(merkle.root_nodes(size)) <= 20


def test_there_is_no_proof_of_what_is_not_there():
    for leaf, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            merkle.inclusion_nodes(leaf, size)
    with pytest.raises(ValueError, match="never had 6"):
        merkle.consistency_nodes(6, 5)
