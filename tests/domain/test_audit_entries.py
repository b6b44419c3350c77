"""The audit row as it is hashed and signed, pinned by the vectors of its profile."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from domain.audit_entries import (
    GENESIS,
    Entry,
    NotCanonical,
    canonical,
    canonical_form,
    entry_hash,
    in_order,
    is_signed,
    seal,
    signed_digest,
    storable,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY_ID = "key_demo_1"
FIRST = Entry(
    id="aud_0001",
    workspace_id="org_demo",
    sequence_number=1,
    event_type="session.started",
    actor_id="user_ada",
    actor_type="user",
    entity_type="session",
    entity_id="e55f6a1f79dd4a85",
    payload={"workType": "qa", "issue": "ENG-7"},
    occurred_at=datetime(2026, 7, 1, 9, tzinfo=UTC),
)
SECOND = replace(
    FIRST,
    id="aud_0002",
    sequence_number=2,
    event_type="session.stopped",
    payload={},
    occurred_at=datetime(2026, 7, 1, 9, 5, tzinfo=UTC),
)
FIRST_HASH = "192c801e5ed0383ad3e36fb3d4f31c031b12e20a56b936fa29f5b8621023aa4b"
VECTORS = [
    (
        FIRST,
        GENESIS,
        FIRST_HASH,
        "142d79c6bce338970c8ef5909d7f9d3f1bc9f0b8211ada9cf69f407f1a60605c",
        "KyqrrmIWhm5oy3DpZ4iEZBVcrazy7a/uZ5pe5BRZ43wt2PfQmzNFGhzP6rTGn9IYq4eKXAkVlNnjF0F/k+s/AA==",
    ),
    (
        SECOND,
        FIRST_HASH,
        "2e679394293c41ba6006ba4160e7f350cff6239d039aed228a0c0a8106c7d534",
        "6f349e6306cbee63a750fa619110e0edc72d6f08844ed41cd3d283ad0c672cd8",
        "2BdUqqSv3haqUPxHwiJzreyZJJHxBuI2RVSCB4jquvTDHwdbiBWtACt4pi/eV6jlbvDnbj9cWeh6X+ClLjTjAg==",
    ),
]
CHANGES = {
    "id": "aud_0009",
    "workspace_id": "org_other",
    "sequence_number": 3,
    "event_type": "session.failed",
    "actor_id": None,
    "actor_type": "worker",
    "entity_type": None,
    "entity_id": "another",
    "payload": {"issue": "ENG-8", "workType": "qa"},
    "occurred_at": datetime(2026, 7, 1, 9, 0, 0, 1000, tzinfo=UTC),
}


def test_the_canonical_form_is_that_of_the_profile():
    assert canonical_form(SECOND).decode() == (
        '{"actorId":"user_ada","actorType":"user","entityId":"e55f6a1f79dd4a85",'
        '"entityType":"session","eventType":"session.stopped","id":"aud_0002",'
        '"occurredAt":"2026-07-01T09:05:00.000Z","payload":{},"sequenceNumber":2,'
        '"workspaceId":"org_demo"}'
    )


@pytest.mark.parametrize(("entry", "prev_hash", "hashed", "digest", "signature"), VECTORS)
def test_hash_digest_and_signature_are_those_of_the_profile(
    entry, prev_hash, hashed, digest, signature
):
    sealed = seal(entry, prev_hash, KEY_ID, KEY)

    assert entry_hash(entry, prev_hash) == sealed.entry_hash == hashed
    assert signed_digest(entry, prev_hash, hashed, KEY_ID).hex() == digest
    assert sealed.signature == signature
    assert is_signed(entry, sealed, KEY.public_key())


@pytest.mark.parametrize(("member", "value"), CHANGES.items())
def test_a_change_of_any_member_changes_hash_and_signature(member, value):
    sealed = seal(FIRST, GENESIS, KEY_ID, KEY)
    changed = replace(FIRST, **{member: value})

    assert entry_hash(changed, GENESIS) != sealed.entry_hash
    assert not is_signed(changed, sealed, KEY.public_key())


@pytest.mark.parametrize(
    "change",
    [
        {"prev_hash": "f" * 64},
        {"entry_hash": "f" * 64},
        {"signing_key_id": "key_demo_2"},
        {"signature": "A" * 86 + "=="},
        {"signature": "no base64"},
        {"signature": ""},
    ],
)
def test_a_change_of_what_the_chain_added_breaks_the_signature(change):
    sealed = seal(FIRST, GENESIS, KEY_ID, KEY)

    assert not is_signed(FIRST, replace(sealed, **change), KEY.public_key())


def test_a_chain_never_goes_back_in_time():
    early, late = FIRST.occurred_at, SECOND.occurred_at

    assert in_order(early, None) == early
    assert in_order(late, early) == late
    assert in_order(early, late) == late


def test_another_key_has_not_signed_it():
    sealed = seal(FIRST, GENESIS, KEY_ID, KEY)

    assert not is_signed(FIRST, sealed, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    ("value", "form"),
    [
        # From RFC 8785: the example of section 3.2.2 and rows of appendix B.
        (
            json.loads(
                r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
                r'"string":"\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/",'
                r'"literals":[null,true,false]}'
            ),
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            r'"string":"€$\u000f\nA' + "'" + r'B\"\\\\\"/"}',
        ),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        ({"\U0001f600": 1, "\ufb33": 2, "é": 3}, '{"é":3,"\U0001f600":1,"\ufb33":2}'),
    ],
)
def test_values_have_the_form_of_rfc_8785(value, form):
    assert canonical(value).decode() == form


@pytest.mark.parametrize("value", [float("nan"), "\ud800", 2**53 + 1, 10**400, {1: 2}])
def test_what_json_cannot_hold_has_no_form(value):
    with pytest.raises(NotCanonical):
        canonical({"payload": value} if not isinstance(value, dict) else value)


def test_nothing_is_too_deep_once_it_is_storable():
    deep = {}
    for _ in range(900):
        deep = {"a": [deep]}

    assert canonical(storable(deep)).endswith(b'"[nested too deeply]"' + b"]}" * 50)


TEXTS = st.text(st.characters(codec=None, exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def as_postgresql_gives_it_back(value):
    """Its jsonb keeps numbers as decimals and writes all their digits, exponents resolved."""
    if isinstance(value, float):
        exact = Decimal(repr(value))
        text = f"{exact:f}"
        return float(text) if "." in text else int(text)
    if isinstance(value, dict):
        return {key: as_postgresql_gives_it_back(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_postgresql_gives_it_back(each) for each in value]
    return value


@given(VALUES)
def test_a_storable_value_has_one_form_before_and_after_it_was_stored(value):
    kept = storable(value)
    form = canonical(kept)

    assert canonical(as_postgresql_gives_it_back(kept)) == form
    assert canonical(json.loads(form)) == form
    assert storable(kept) == kept
    assert b"\\u0000" not in form


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_read_back_as_itself(number):
    assert float(canonical(number)) == number
    assert math.isfinite(float(canonical(storable(number))))
