"""What is said to Linear, and what its answers mean."""

import json
import time

import pytest

from outbound.guarded_client import GuardedClient
from outbound.linear import Linear, Rejected, TryAgain
from settings import Secret
from tests.outbound.servers import FakeLinear, graphql, graphql_error, known, reply, running

ONE = "0b8f5a7e-3c1d-4e2f-9a6b-7c8d9e0f1a2b"
THOUGHT = {"type": "thought", "body": "Hello"}


@pytest.fixture
async def fake():
    async with running(FakeLinear()) as fake:
        yield fake


@pytest.fixture
async def linear(fake):
    async with GuardedClient([fake.host]) as client:
        yield Linear(client, fake.url, Secret("lin_oauth_1"))


async def test_each_call_says_what_linear_wants(fake, linear):
    await linear.create_activity(ONE, "session-1", THOUGHT)
    await linear.create_comment(ONE[:-1] + "c", "issue-1", "Done")
    await linear.set_external_urls("session-1", [{"label": "Pull request", "url": "https://a"}])
    await linear.create_issue(ONE[:-1] + "d", "ENG-1", "Tool error", "It broke")

    assert fake.said == [
        ("activity", {"id": ONE, "agentSessionId": "session-1", "content": THOUGHT}),
        ("comment", {"id": ONE[:-1] + "c", "issueId": "issue-1", "body": "Done"}),
        ("external_urls", {"externalUrls": [{"label": "Pull request", "url": "https://a"}]}),
        (
            "issue",
            {
                "id": ONE[:-1] + "d",
                "teamId": "team-1",
                "title": "Tool error",
                "description": "It broke",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("key", "header"), [("lin_api_1", "lin_api_1"), ("lin_oauth_1", "Bearer lin_oauth_1")]
)
async def test_api_keys_go_bare_and_tokens_as_bearers(fake, key, header):
    async with GuardedClient([fake.host]) as client:
        await Linear(client, fake.url, Secret(key)).create_comment(ONE, "issue-1", "Done")

    assert fake.asked[0].headers["authorization"] == header


async def test_an_id_that_is_known_counts_as_done(fake, linear):
    await linear.create_activity(ONE, "session-1", THOUGHT)
    await linear.create_activity(ONE, "session-1", THOUGHT)

    assert len(fake.said) == 1


async def test_a_conflict_about_another_id_does_not(fake, linear):
    fake.trouble = [known("c47ac10b-58cc-4372-a567-0e02b2c3d479")]

    with pytest.raises(Rejected):
        await linear.create_activity(ONE, "session-1", THOUGHT)


@pytest.mark.parametrize(
    "trouble",
    [
        reply(500),
        reply(502, b"<html>bad gateway</html>"),
        reply(503, Retry_After="not a number"),
        reply(408),
        reply(429),
        graphql_error("boom", code="INTERNAL_SERVER_ERROR"),
        graphql_error("Rate limit exceeded", 400, "RATELIMITED"),
        reply(200, b"<html>sign in to the wireless network</html>"),
        reply(200, b"[]"),
        graphql({"done": None}),
    ],
)
async def test_what_may_pass_is_tried_again(fake, linear, trouble):
    fake.trouble = [trouble]

    with pytest.raises(TryAgain) as again:
        await linear.create_activity(ONE, "session-1", THOUGHT)

    assert again.value.wait_seconds is None


@pytest.mark.parametrize(
    "trouble",
    [
        reply(400),
        reply(401, b'{"error":"unauthorized"}'),
        reply(403),
        reply(404),
        graphql_error("Entity not found: AgentSession"),
        graphql_error("Argument Validation Error", 400),
        graphql({"done": {"success": False}}),
        reply(302, Location="https://127.0.0.1/"),
    ],
)
async def test_what_will_not_pass_is_rejected(fake, linear, trouble):
    fake.trouble = [trouble]

    with pytest.raises(Rejected):
        await linear.create_activity(ONE, "session-1", THOUGHT)


async def test_a_limit_says_how_long_to_wait(fake, linear):
    in_a_minute = str(int((time.time() + 60) * 1000))
    fake.trouble = [
        reply(429, Retry_After="7"),
        reply(429, Retry_After="999999"),
        graphql_error(
            "Rate limit exceeded",
            400,
            "RATELIMITED",
            X_RateLimit_Requests_Remaining="0",
            X_RateLimit_Requests_Reset=in_a_minute,
            X_RateLimit_Complexity_Remaining="900",
            X_RateLimit_Complexity_Reset="1",
        ),
    ]

    waits = []
    for _ in range(3):
        with pytest.raises(TryAgain) as again:
            await linear.create_activity(ONE, "session-1", THOUGHT)
        waits.append(again.value.wait_seconds)

    assert waits[:2] == [7, 3600]
    assert 50 < waits[2] <= 60


async def test_nobody_there_is_tried_again_and_a_forbidden_address_is_not(fake):
    async with running(FakeLinear()) as gone:
        pass
    async with GuardedClient([gone.host]) as client:
        with pytest.raises(TryAgain):
            await Linear(client, gone.url, Secret("k")).create_comment(ONE, "i", "b")
        with pytest.raises(Rejected):
            await Linear(client, fake.url, Secret("k")).create_comment(ONE, "i", "b")

    assert fake.asked == []


async def test_no_error_carries_the_key(fake):
    fake.trouble = [reply(500), reply(401)]
    async with GuardedClient([fake.host]) as client:
        linear = Linear(client, fake.url, Secret("lin_oauth_very_secret"))
        for kind in (TryAgain, Rejected):
            with pytest.raises(kind) as error:
                await linear.create_comment(ONE, "i", "b")
            assert "very_secret" not in str(error.value)
            assert "very_secret" not in json.dumps(repr(error.value))
