"""Ids and secrets, against the vectors of the wire contract."""

import re

from domain.ids import (
    SHOWN_CHARACTERS,
    fingerprint,
    new_api_key,
    new_id,
    public_session_id,
)

SESSION = "7c0f4a52-9b1e-4d0e-8d2b-3f6a1c9e5b77"


def test_the_fingerprint_and_prefix_of_a_key_are_those_of_the_contract():
    key = "rsk_live_" + "ab" * 32

    assert fingerprint(key).hex() == (
        "2378b9ad120a1f14e2bf6f1d49907cc5515a6c4e8bb2e29044628e6fe7479114"
    )
    assert key[:SHOWN_CHARACTERS] == "rsk_live_abab"


def test_the_public_id_is_keyed_with_the_salt():
    assert public_session_id(SESSION, b"example-salt") == "e55f6a1f79dd4a85"
    assert public_session_id(SESSION, b"other-salt") != "e55f6a1f79dd4a85"


def test_keys_and_ids_have_their_form_and_never_repeat():
    keys = {new_api_key() for _ in range(1000)}
    ids = {new_id("wkr") for _ in range(1000)}

    assert len(keys) == len(ids) == 1000
    assert all(re.fullmatch(r"rsk_live_[0-9a-f]{64}", key) for key in keys)
    assert all(re.fullmatch(r"wkr_[0-9a-f]{16}", made) for made in ids)
