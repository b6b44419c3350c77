"""The providers' signatures, against the vectors of the wire contract."""

import hashlib
import hmac
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.webhook_signatures import PROVIDERS, claimed_workspaces, matches

LINEAR = (
    "linear",
    "lin_wh_secret",
    b'{"action":"update","type":"Issue","webhookTimestamp":1751360400000}',
    "f28c3e27064339e4d3d90bcca4c28ecf6e4136e722f9adc1d246e38e745ea298",
)
GITHUB_BODY = b'{"action":"opened","number":7}'
GITHUB_SIGNATURE = "sha256=8092dc496c35a4ba1a16c88afe81c2ef79f20e14ae0bfc4e45b10675b50a15a8"
GITHUB = ("github", "gh_wh_secret", GITHUB_BODY, GITHUB_SIGNATURE)
ACTIONS = ("github-actions", "gh_wh_secret", GITHUB_BODY, GITHUB_SIGNATURE)
VERCEL = (
    "vercel",
    "vc_wh_secret",
    b'{"id":"evt_1","type":"deployment.succeeded","payload":{}}',
    "8c37326e553ea01f314e3d9e4483c9dfddbd4975",
)
VECTORS = [LINEAR, GITHUB, ACTIONS, VERCEL]


@pytest.mark.parametrize(("provider", "secret", "body", "signature"), VECTORS)
def test_the_vectors_of_the_contract_match(provider, secret, body, signature):
    assert matches(PROVIDERS[provider], secret, body, signature)


@pytest.mark.parametrize(("provider", "secret", "body", "signature"), VECTORS)
def test_anything_but_the_exact_secret_bytes_and_signature_is_refused(
    provider, secret, body, signature
):
    wrong = [
        (secret + "x", body, signature),
        (secret, body + b" ", signature),
        (secret, body.replace(b":", b": ", 1), signature),
        (secret, body, signature[:-1]),
        (secret, body, signature + "0"),
        (secret, body, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (secret, body, ""),
        (secret, body, "é" * len(signature)),
        (secret, body, "sha256=" + signature),
        (secret, body, "sha1=" + signature),
    ]

    assert not any(matches(PROVIDERS[provider], *each) for each in wrong)


@given(
    provider=st.sampled_from(sorted(PROVIDERS)),
    secret=st.text(min_size=1, max_size=80).filter(str.isascii),
    body=st.binary(min_size=1, max_size=400),
    sha256=st.booleans(),
    data=st.data(),
)
def test_any_flipped_bit_of_the_body_or_of_the_signature_is_refused(
    provider, secret, body, sha256, data
):
    how = PROVIDERS[provider]
    algorithm = how.algorithms[-1 if sha256 else 0]
    signature = how.prefix + hmac.new(secret.encode(), body, algorithm).hexdigest()
    whole = len(body) * 8 + len(signature) * 8
    bit = data.draw(st.integers(0, whole - 1))
    flipped = bytearray(body + signature.encode())
    flipped[bit // 8] ^= 1 << (bit % 8)
    # A header's bytes become text as ASGI servers hand them over.
    given_body, given_signature = flipped[: len(body)], flipped[len(body) :].decode("latin-1")

    assert matches(how, secret, body, signature)
    assert not matches(how, secret, bytes(given_body), given_signature)


def test_github_needs_its_prefix():
    assert not matches(PROVIDERS["github"], *GITHUB[1:3], GITHUB_SIGNATURE.removeprefix("sha256="))


def test_vercel_may_sign_with_sha256_and_the_others_never_with_sha1():
    sha256 = hmac.new(VERCEL[1].encode(), VERCEL[2], hashlib.sha256).hexdigest()
    sha1 = hmac.new(LINEAR[1].encode(), LINEAR[2], hashlib.sha1).hexdigest()

    assert matches(PROVIDERS["vercel"], *VERCEL[1:3], sha256)
    assert not matches(PROVIDERS["linear"], *LINEAR[1:3], sha1)


@pytest.mark.parametrize(
    ("provider", "body", "claimed"),
    [
        ("linear", b'{"organizationId":"lin_1"}', ("lin_1",)),
        ("github", b'{"organizationId":"lin_1"}', ()),
        (
            "github",
            (
                b'{"installation":{"id":77},"repository":'
                b'{"full_name":"Acme/Billing","owner":{"login":"Acme"}}}'
            ),
            ("acme/billing", "77", "acme"),
        ),
        ("github-actions", b'{"repository":{"full_name":"Acme/Billing"}}', ("acme/billing",)),
        ("github", b'{"installation":{"id":true},"repository":"acme/billing"}', ()),
        (
            "vercel",
            b'{"payload":{"team":{"id":"team_1"},"project":{"id":"prj_1"}}}',
            ("prj_1", "team_1"),
        ),
        ("linear", b'{"organizationId":7}', ("7",)),
        ("linear", b'{"organizationId":""}', ()),
        ("linear", b'{"organizationId":"' + b"x" * 201 + b'"}', ()),
        ("linear", b'["organizationId"]', ()),
        ("linear", b"not json", ()),
        ("linear", b"\xff\xfe\xfd", ()),
        ("linear", b"", ()),
        ("linear", b"[" * 100_000, ()),
        ("linear", b'{"organizationId":' + b"[" * 1000 + b"]" * 1000 + b"}", ()),
        ("linear", b'{"organizationId":"a\\u0000b"}', ()),
        ("linear", b'{"organizationId":"a","organizationId":"b"}', ("b",)),
        ("linear", b'{"\\u006frganizationId":"' + b"\\u006c" * 200 + b'"}', ("l" * 200,)),
    ],
)
def test_claimed_workspaces_are_short_texts_in_the_body_the_narrowest_first(
    provider, body, claimed
):
    assert claimed_workspaces(provider, body) == claimed


def test_a_body_that_nobody_has_signed_costs_no_more_memory_than_it_is_long():
    body = b'{"organizationId":"lin_1","more":[' + b"[]," * 1_000_000 + b"[]]}"
    tracemalloc.start()

    claimed = claimed_workspaces("linear", body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert claimed == ("lin_1",)
    assert peak < len(body)
