"""What is encrypted opens under its key and its context, and under nothing else."""

import pytest

from auth.sealing import MasterKey, WrongMasterKey
from settings import Secret

MASTER = MasterKey(Secret("ab" * 32))


def test_what_was_sealed_opens():
    assert MASTER.open(MASTER.seal(b"secret", "of acme"), "of acme") == b"secret"


def test_no_two_sealed_forms_are_equal_or_show_the_secret():
    sealed = {MASTER.seal(b"the very secret", "of acme") for _ in range(100)}

    assert len(sealed) == 100
    assert not any(b"very" in each for each in sealed)


@pytest.mark.parametrize(
    ("master", "context"), [(MasterKey(Secret("cd" * 32)), "of acme"), (MASTER, "of others")]
)
def test_another_key_or_context_does_not_open_it(master, context):
    sealed = MASTER.seal(b"secret", "of acme")

    with pytest.raises(WrongMasterKey, match=f"RENSEI_MASTER_KEY does not open {context}"):
        master.open(sealed, context)


@pytest.mark.parametrize("place", [0, 11, 12, -1])
def test_a_changed_byte_does_not_open(place):
    sealed = bytearray(MASTER.seal(b"secret", "of acme"))
    sealed[place] ^= 1

    with pytest.raises(WrongMasterKey):
        MASTER.open(bytes(sealed), "of acme")


def test_derived_keys_are_32_bytes_equal_every_time_and_differ_by_purpose_and_master():
    derived = MASTER.derive("public session ids")

    assert len(derived) == 32
    assert derived == MasterKey(Secret("ab" * 32)).derive("public session ids")
    assert derived != MASTER.derive("seal")
    assert derived != MasterKey(Secret("cd" * 32)).derive("public session ids")
    assert derived != bytes.fromhex("ab" * 32)


def test_a_previous_master_key_still_opens_and_no_longer_seals():
    old, new = Secret("12" * 32), Secret("34" * 32)
    both = MasterKey(new, [Secret("56" * 32), old])
    before, after = MasterKey(old).seal(b"secret", "of acme"), both.seal(b"secret", "of acme")

    assert both.open(before, "of acme") == both.open(after, "of acme") == b"secret"
    assert MasterKey(new).open(after, "of acme") == b"secret"
    with pytest.raises(WrongMasterKey):
        MasterKey(new).open(before, "of acme")
    with pytest.raises(WrongMasterKey):
        MasterKey(old).open(after, "of acme")


def test_rewrapping_brings_over_what_is_old_and_leaves_what_is_not():
    old, new = Secret("12" * 32), Secret("34" * 32)
    both = MasterKey(new, [old])

    fresh = both.rewrap(MasterKey(old).seal(b"secret", "of acme"), "of acme")

    assert fresh is not None
    assert MasterKey(new).open(fresh, "of acme") == b"secret"
    assert both.rewrap(fresh, "of acme") is None
    with pytest.raises(WrongMasterKey):
        both.rewrap(fresh, "of another")


def test_what_is_derived_is_the_present_keys():
    old, new = Secret("12" * 32), Secret("34" * 32)

    assert MasterKey(new, [old]).derive("x") == MasterKey(new).derive("x")


def test_nothing_prints_a_key():
    assert "12" * 32 not in repr(MasterKey(Secret("12" * 32), [Secret("12" * 32)]))
