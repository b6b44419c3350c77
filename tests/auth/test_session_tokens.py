"""The token of a session's agent: good while that claim of the session lasts, and not after."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auth import session_tokens, tokens
from auth.session_tokens import SessionAgent
from domain.errors import Unauthenticated
from tests.contract.world import claims_of

ENDED = "The session that the token was minted for has ended"


async def refused(token):
    with pytest.raises(Unauthenticated) as refusal:
        await session_tokens.verify(token)
    return refusal.value.text


async def report(worker, session_id, status):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert answer.status_code == 200, answer.text


async def test_it_says_whose_agent_it_is_with_a_key_and_an_audience_of_its_own(make):
    worker = await make.worker()
    session_id, token = await make.claimed_with_token(worker)

    agent = await session_tokens.verify(token)

    assert agent == SessionAgent(make.org_id, make.project_id, session_id, worker.id)
    assert claims_of(token)["aud"] == "rensei-mcp"


async def test_a_poll_and_a_claim_by_name_say_when_it_expires(make):
    worker = await make.worker()
    polled, named = await make.session(), await make.session(waits_for="person")
    work = (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()["work"][0]
    await make.owner.execute("update sessions set waits_for = null where id = %s", (named,))
    claimed = await worker.client.post(f"/api/sessions/{named}/claim", json={"workerId": worker.id})

    for session_id, delivered in ((polled, work), (named, claimed.json()["work"])):
        agent = await session_tokens.verify(delivered["mcpAuthToken"])
        lasts = datetime.fromisoformat(delivered["mcpAuthTokenExpiresAt"]) - datetime.now(UTC)
        assert agent.session_id == session_id
        assert timedelta(hours=23) < lasts <= timedelta(hours=24)


@pytest.mark.parametrize("end", ["completed", "failed", "stopped"])
async def test_it_ends_with_its_session(make, end):
    worker = await make.worker()
    session_id, token = await make.claimed_with_token(worker)
    await report(worker, session_id, "running")
    await report(worker, session_id, "finalizing")
    alive = await session_tokens.verify(token)

    await report(worker, session_id, end)

    assert alive.session_id == session_id
    assert await refused(token) == ENDED


async def test_it_ends_when_its_worker_gives_the_session_back_and_a_new_claim_has_a_new_one(make):
    worker, other = await make.worker(), await make.worker()
    session_id, token = await make.claimed_with_token(worker)
    work = {
        "sessionId": session_id,
        "issueId": "i",
        "issueIdentifier": "I-1",
        "priority": 1,
        "queuedAt": 1,
    }
    nacked = await worker.client.post(
        f"/api/sessions/{session_id}/nack", json={"workerId": worker.id, "work": work}
    )
    waiting = await refused(token)

    (again,) = (await other.client.get(f"/api/workers/{other.id}/poll")).json()["work"]

    assert nacked.json()["requeued"] is True
    assert waiting == ENDED
    assert await refused(token) == ENDED
    assert (await session_tokens.verify(again["mcpAuthToken"])).session_id == session_id


async def test_it_outlives_a_transfer_to_its_workers_new_id(make):
    worker, renewed = await make.worker(), await make.worker()
    session_id, token = await make.claimed_with_token(worker)
    moved = await renewed.client.post(
        f"/api/sessions/{session_id}/transfer-ownership",
        json={"newWorkerId": renewed.id, "oldWorkerId": worker.id},
    )

    assert moved.json()["transferred"] is True
    assert (await session_tokens.verify(token)).session_id == session_id


async def test_it_comes_back_to_life_when_its_worker_takes_a_lost_session_back(make):
    worker = await make.worker()
    session_id, token = await make.claimed_with_token(worker)
    await make.owner.execute(
        "update sessions set status = 'pending', worker_id = null, slot_worker_id = null,"
        " lost_by_worker_id = %s, lost_status = 'running', lost_at = now() where id = %s",
        (worker.id, session_id),
    )
    lost = await refused(token)

    await report(worker, session_id, "running")

    assert lost == ENDED
    assert (await make.stored(session_id)).lease_epoch == 2
    assert (await session_tokens.verify(token)).session_id == session_id


async def test_it_ends_with_the_key_of_its_worker(make):
    key = await make.key_answer(projects=[make.project_id])
    worker = await make.worker(key["fullKey"])
    _, token = await make.claimed_with_token(worker)

    await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")

    assert await refused(token) == ENDED


@pytest.mark.parametrize("wrong", ["org_id", "project_id", "session_id", "worker_id"])
async def test_it_speaks_for_no_other_organization_project_session_or_worker(make, wrong):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    right = SessionAgent(make.org_id, make.project_id, session_id, worker.id)

    good, _ = await session_tokens.mint(right, datetime.now(UTC))
    bad, _ = await session_tokens.mint(replace(right, **{wrong: "x"}), datetime.now(UTC))

    assert await session_tokens.verify(good) == right
    assert await refused(bad) == ENDED


async def test_every_other_kind_of_token_is_refused_on_mcp(make):
    worker = await make.worker()
    _, token = await make.claimed_with_token(worker)
    claims = claims_of(token)

    texts = [
        await refused(await tokens.mint(kind, claims, 60))
        for kind in (tokens.RUNTIME, tokens.M2M, tokens.BATCH)
    ]
    expired = await refused(await tokens.mint(tokens.MCP, claims, -1))

    assert texts == [tokens.INVALID] * 3
    assert expired == "MCP token expired"
