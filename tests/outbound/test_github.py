"""The GitHub client: what it asks, and what it makes of every answer."""

import asyncio
import time

import pytest
from joserfc.jwk import ECKey, RSAKey

from outbound.github import BadKey, GitHubApp, Rejected, TryAgain, fingerprint
from outbound.guarded_client import GuardedClient
from tests.outbound.servers import FakeGitHub, github, reply, running


@pytest.fixture
async def fake(app_key):
    async with running(FakeGitHub(app_key)) as server:
        yield server


async def token(fake, *repositories, key=None, app_id="4711", installation="99", **options):
    async with GuardedClient((fake.host,), **options) as client:
        pem = (key or fake.key).as_pem(private=True).decode()
        app = GitHubApp(client, fake.url, app_id, pem)
        return await app.installation_token(installation, repositories or ["acme/billing"])


async def test_a_token_is_for_the_repositories_asked_for_and_no_other(fake):
    found = await token(fake, "acme/billing", "Acme/Ledger".replace("L", "l"))

    assert fake.minted == [["billing", "ledger"]]
    assert found.repositories == {"acme/billing", "acme/ledger"}
    assert 3590 < found.expires_at.timestamp() - time.time() <= 3600
    assert found.token not in repr(found)
    (asked,) = fake.asked
    assert asked.method == "POST"
    assert asked.headers["accept"] == "application/vnd.github+json"


async def test_a_repository_of_an_equal_name_elsewhere_is_not_opened(fake):
    with pytest.raises(Rejected, match="acme/billing in place of the project's"):
        await token(fake, "evil/billing")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"key": RSAKey.generate_key(2048)}, "401"),
        ({"app_id": "1"}, "401"),
        ({"installation": "1"}, "404 Not Found"),
    ],
)
async def test_a_wrong_key_app_or_installation_is_rejected(fake, change, text):
    with pytest.raises(Rejected, match=text):
        await token(fake, **change)


async def test_a_repository_that_the_installation_lacks_is_rejected(fake):
    with pytest.raises(Rejected, match="422 There is no repository payroll"):
        await token(fake, "acme/billing", "acme/payroll")


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (github(500, {"message": "oops"}), None, None),
        (reply(502, b"<html>"), None, None),
        (github(503, {}, Retry_After="7"), 7, 7),
        (github(429, {"message": "slow down"}), None, None),
        (github(429, {"message": "slow down"}, Retry_After="99999"), 3600, 3600),
        (reply(201, b"[]"), None, None),
        (reply(201, b"not json"), None, None),
        (github(201, {"token": "ghs_1"}), None, None),
        (github(201, {"token": "t", "expires_at": "soon", "repositories": []}), None, None),
        (
            github(201, {"token": "t", "expires_at": "2026-01-01T00:00:00", "repositories": []}),
            None,
            None,
        ),
    ],
)
async def test_trouble_that_may_pass_is_tried_again(fake, answer, least, most):
    fake.trouble = [answer]

    with pytest.raises(TryAgain) as again:
        await token(fake)

    if least is None:
        assert again.value.wait_seconds is None
    else:
        assert least <= again.value.wait_seconds <= most


async def test_a_spent_allowance_is_waited_for(fake):
    fake.trouble = [
        github(
            403,
            {"message": "API rate limit exceeded"},
            X_RateLimit_Remaining="0",
            X_RateLimit_Reset=str(int(time.time()) + 900),
        )
    ]

    with pytest.raises(TryAgain) as again:
        await token(fake)

    assert 800 <= again.value.wait_seconds <= 900


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422])
async def test_a_refusal_is_not_tried_again(fake, status):
    fake.trouble = [github(status, {"message": "Suspended"})]

    with pytest.raises(Rejected, match=f"{status} Suspended"):
        await token(fake)


async def test_silence_and_a_closed_door_are_tried_again(fake, app_key):
    fake.seconds = 5
    with pytest.raises(TryAgain, match="no answer within"):
        await token(fake, total_seconds=0.1)
    async with running(FakeGitHub(app_key)) as gone:
        pass
    with pytest.raises(TryAgain):
        await asyncio.wait_for(token(gone), 5)


async def test_a_fingerprint_is_the_one_that_github_shows(app_key):
    import base64
    import hashlib

    public = hashlib.sha256(app_key.as_der(private=False)).digest()

    found = await fingerprint(app_key.as_pem(private=True).decode())

    assert found == "SHA256:" + base64.b64encode(public).decode()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "nonsense",
        "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ECKey.generate_key("P-256").as_pem(private=True).decode(),
        RSAKey.generate_key(2048).as_pem(private=False).decode(),
        RSAKey.generate_key(2048).as_pem(private=True, password="x").decode(),
    ],
)
async def test_what_is_no_private_rsa_key_is_a_bad_key(pem):
    with pytest.raises(BadKey):
        await fingerprint(pem)
