"""Signed tokens: what passes, and every forgery that must not."""

import asyncio
import base64
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from auth import keyring, tokens
from auth.keyring import Keyring
from domain.errors import Unauthenticated
from persistence import signing_keys

pytestmark = pytest.mark.usefixtures("application")

CLAIMS = {"sub": "m2m_1", "org_id": "org_1", "scopes": ["sessions:read"]}


def segment(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def key_of(purpose):
    return await keyring.current().signer(purpose)


async def signed(kind=tokens.M2M, *, secret=None, header=None, claims=None):
    """A token like a real one but for what is given; signed with the real key by default."""
    key = await key_of(kind.purpose)
    now = int(time.time())
    return jwt.encode(
        {"alg": "HS256", "typ": kind.typ, "kid": key.kid, **(header or {})},
        {
            **CLAIMS,
            "iss": kind.issuer,
            "aud": kind.audience,
            "iat": now,
            "exp": now + 60,
            **(claims or {}),
        },
        OctKey.import_key(secret or key.secret),
        algorithms=["HS256", "HS384"],
    )


async def refused(token, **more):
    with pytest.raises(Unauthenticated) as refusal:
        await tokens.verify(token, **more)
    return refusal.value.text


async def test_a_token_comes_back_with_its_claims_and_those_of_its_kind():
    token = await tokens.mint(tokens.M2M, CLAIMS, 60)

    kind, claims = await tokens.verify(token)

    assert kind is tokens.M2M
    assert CLAIMS.items() <= claims.items()
    assert (claims["iss"], claims["aud"]) == ("rensei-platform", "rensei-api")
    assert claims["exp"] - claims["iat"] == 60


async def test_each_kind_has_a_key_of_its_own():
    runtime, m2m = await key_of("runtime"), await key_of("m2m")

    assert runtime.kid != m2m.kid
    assert runtime.secret != m2m.secret
    assert "secret" not in repr(runtime)


async def test_a_changed_payload_or_signature_is_refused():
    head, payload, signature = (await signed()).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    wider = segment({**claims, "scopes": ["*"]})
    other = ("A" if signature[0] != "A" else "B") + signature[1:]

    texts = {
        await refused(".".join(parts))
        for parts in [(head, wider, signature), (head, payload, other), (head, payload, "")]
    }

    assert texts == {tokens.INVALID}


async def test_an_unsigned_token_is_refused():
    key = await key_of("m2m")
    for alg in ("none", "None", "NONE", ""):
        head = segment({"alg": alg, "typ": "m2m+jwt", "kid": key.kid})
        assert await refused(f"{head}.{segment(CLAIMS)}.") == tokens.INVALID


async def test_another_algorithm_under_the_right_key_is_refused():
    assert await refused(await signed(header={"alg": "HS384"})) == tokens.INVALID


async def test_a_token_signed_by_a_stranger_is_refused():
    assert await refused(await signed(secret=b"s" * 32)) == tokens.INVALID


@pytest.mark.parametrize("kid", ["sig_of_nobody", "", None, 7, ["x"], "../../dev/null", "' or 1=1"])
async def test_an_unknown_key_id_is_refused(kid):
    token = await signed()
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    head = segment({**header, "kid": kid})

    assert await refused(".".join([head, *token.split(".")[1:]])) == tokens.INVALID


async def test_a_kind_of_token_does_not_pass_as_another_under_either_key():
    runtime = await key_of("runtime")
    crossed = [
        await signed(header={"typ": tokens.RUNTIME.typ}),
        await signed(header={"kid": runtime.kid}, secret=runtime.secret),
        await signed(tokens.M2M, claims={"aud": tokens.RUNTIME.audience}),
        await signed(tokens.M2M, claims={"iss": tokens.RUNTIME.issuer}),
    ]

    assert [await refused(token) for token in crossed] == [tokens.INVALID] * 4


@pytest.mark.parametrize("typ", ["JWT", "jwt", "", None, "at+jwt"])
async def test_a_type_that_this_server_does_not_mint_is_refused(typ):
    token = await signed()
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    head = segment({**header, "typ": typ})

    assert await refused(".".join([head, *token.split(".")[1:]])) == tokens.INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": "never"},
        {"exp": 1e300},
        {"aud": None},
        {"iss": None},
        {"aud": ["rensei-api"]},
    ],
)
async def test_claims_that_cannot_be_judged_are_refused(claims):
    assert await refused(await signed(claims=claims)) == tokens.INVALID


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "é.é.é",
        f"{segment([])}.{segment({})}.x",
        f"{segment(b'nojson')}.{segment({})}.x",
        f"{segment(b'[' * 100_000)}.{segment({})}.x",
        f"{segment(bytes([255, 254]))}.{segment({})}.x",
    ],
)
async def test_what_is_no_token_at_all_is_refused(token):
    assert await refused(token) == tokens.INVALID


async def test_an_expired_token_is_refused_with_its_own_words_even_after_it_was_good():
    now = int(time.time())
    m2m = await signed(claims={"exp": now})
    runtime = await signed(tokens.RUNTIME, claims={"exp": now})
    soon = await signed(claims={"exp": now + 1})
    await tokens.verify(soon)
    await asyncio.sleep(now + 1 - time.time())

    assert await refused(m2m) == "M2M token expired"
    assert await refused(runtime) == "Runtime token expired"
    assert await refused(soon) == "M2M token expired"


async def test_grace_lets_a_token_pass_that_expired_no_longer_ago():
    token = await signed(tokens.RUNTIME, claims={"exp": int(time.time()) - 100})

    _, claims = await tokens.verify(token, grace_seconds=200)

    assert claims["sub"] == "m2m_1"
    assert await refused(token, grace_seconds=50) == "Runtime token expired"


async def test_a_forged_token_never_enters_the_memory_of_good_ones():
    forged = await signed(secret=b"s" * 32)

    await refused(forged)

    assert forged not in tokens._verified


async def test_a_retired_key_still_verifies_and_a_new_one_signs(owner):
    token = await tokens.mint(tokens.M2M, CLAIMS, 60)
    old = await key_of("m2m")
    await owner.execute("update signing_keys set retired_at = now() where kid = %s", (old.kid,))
    try:
        await keyring.current().find("sig_of_nobody")
        tokens._verified.clear()
        new = await key_of("m2m")
        _, claims = await tokens.verify(token)
    finally:
        await owner.execute("delete from signing_keys where kid = %s", (new.kid,))
        await owner.execute("update signing_keys set retired_at = null where kid = %s", (old.kid,))
        keyring.start()

    assert new.kid != old.kid
    assert claims["sub"] == "m2m_1"


async def test_a_key_that_another_process_made_a_moment_ago_is_known(owner):
    """The web's other process signs with it at once, and this one has just read the keys."""
    mine, theirs = Keyring(keyring.current().master), Keyring(keyring.current().master)
    await mine.signer("m2m")
    try:
        made = await theirs.signer("made_a_moment_ago")

        found, again, forged = await asyncio.gather(
            mine.find(made.kid), mine.find(made.kid), mine.find("sig_of_nobody")
        )
    finally:
        await owner.execute("delete from signing_keys where purpose = 'made_a_moment_ago'")

    assert found == again == made
    assert forged is None


async def test_many_forged_ids_share_few_readings(monkeypatch):
    readings = 0

    async def list_all(db):
        nonlocal readings
        readings += 1
        return await signing_keys_list(db)

    signing_keys_list = signing_keys.list_all
    monkeypatch.setattr(signing_keys, "list_all", list_all)
    mine = Keyring(keyring.current().master)

    for _ in range(3):
        await asyncio.gather(*(mine.find(f"sig_{number}") for number in range(50)))

    assert readings <= 6


async def test_signing_keys_are_stored_encrypted(owner):
    key = await key_of("m2m")

    rows = await owner.execute("select secret_encrypted from signing_keys where kid=%s", (key.kid,))
    stored = bytes((await rows.fetchone()).secret_encrypted)

    assert key.secret not in stored
    assert keyring.current().master.open(stored, f"signing key {key.kid}") == key.secret
