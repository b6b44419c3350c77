"""Trusted agents are tools."""

import asyncio
import json
from dataclasses import replace

import pytest

import settings
from domain.a2a_cards import input_schema
from domain.errors import Conflict, NotFound
from jobs.send_dispatches import send_dispatches
from services import a2a_tools
from tests.sdk_peer import sdk_peer

OPEN = {"type": "object", "additionalProperties": True}


def card(name, *skills):
    return json.dumps({"name": name, "skills": [{"id": each} for each in skills]})


async def names(make):
    return [tool.name for tool in await a2a_tools.offered(make.org_id)]


@pytest.mark.parametrize(
    ("name", "skill", "tool"),
    [
        ("Vercel Ops", "deploy", "vercel_ops.deploy"),
        ("code-reviewer", "review", "code_reviewer.review"),
        ("Linear (prod)", "create-issue", "linear_prod.create-issue"),
    ],
)
async def test_a_skill_is_a_tool_under_the_contracts_name(name, skill, tool, make):
    await make.agent(trust_level="trusted", card=card(name, skill))

    (found,) = await a2a_tools.offered(make.org_id)

    assert (found.name, found.takes) == (tool, OPEN)
    assert found.alias == "a2a_" + tool.replace(".", "_", 1)
    for each in (found.name, found.alias):
        assert await a2a_tools.find(make.org_id, each) == found
    assert await a2a_tools.find(make.org_id, "nobody.nothing") is None


@pytest.mark.parametrize(
    ("level", "count"), [("internal", 1), ("trusted", 1), ("external", 0), ("system", 0)]
)
async def test_only_trusted_agents_are_tools(level, count, make):
    await make.agent(trust_level=level, card=card("Ops", "deploy"))

    assert len(await names(make)) == count


async def test_the_first_registered_of_one_slug_wins(make):
    await make.agent(trust_level="trusted", card=card("Ops", "deploy"), created_at="2026-01-02")
    first, _ = await make.agent(
        trust_level="trusted", card=card("ops!", "review"), created_at="2026-01-01"
    )

    (tool,) = await a2a_tools.offered(make.org_id)

    assert (tool.agent_id, tool.name) == (first, "ops.review")


async def test_a_changed_card_has_no_tools_until_somebody_looked(make):
    agent_id, _ = await make.agent(
        trust_level="trusted", card=card("Ops", "deploy"), card_changed_at="now"
    )

    before = await names(make)
    await make.org.patch(f"/api/a2a/agents/{agent_id}", json={"trustLevel": "trusted"})

    assert (before, await names(make)) == ([], ["ops.deploy"])


async def test_tools_are_the_organizations_own(make):
    await make.agent(trust_level="trusted", card=card("Ops", "deploy"))

    assert await a2a_tools.offered(await make.organization()) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/x"}}},
        {"type": "object", "$id": "http://x.example/"},
        {"type": "object", "$schema": "http://x.example/meta"},
        {"type": "object", "allOf": [{"$dynamicRef": "file:///etc/passwd"}]},
        {"type": "string"},
        "all",
        None,
    ],
)
def test_a_schema_that_leads_elsewhere_is_not_used(schema):
    assert input_schema({"id": "x", "inputSchema": schema}) == OPEN


async def test_what_is_no_schema_does_not_break_the_tool(make):
    skill = {"id": "x", "inputSchema": {"type": "object", "properties": {"a": {"type": "what?"}}}}
    await make.agent(trust_level="trusted", card=json.dumps({"name": "Ops", "skills": [skill]}))

    (tool,) = await a2a_tools.offered(make.org_id)

    assert tool.takes == OPEN


def test_a_schema_of_its_own_is_used_as_it_is():
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "of": {"$ref": "#/definitions/of"}},
        "definitions": {"of": {"type": "integer"}},
    }

    assert input_schema({"id": "x", "inputSchema": schema}) == schema


@pytest.fixture
async def tool(given, make, owner):
    """The tool of a running SDK peer, and the peer."""
    await owner.execute("update a2a_dispatches set status = 'failed' where completed_at is null")
    async with sdk_peer() as peer:
        settings.use(replace(given, allowed_private_hosts=(peer.host,)))
        made = await make.org.post(
            "/api/a2a/agents", json={"url": peer.url, "trustLevel": "internal"}
        )
        assert made.status_code == 201, made.text
        (tool,) = await a2a_tools.offered(make.org_id)
        yield tool, peer
        settings.use(given)


async def calling(make, run_job, tool, arguments, **more):
    async def jobs():
        while True:
            await run_job(send_dispatches)
            await asyncio.sleep(0.05)

    running = asyncio.create_task(jobs())
    try:
        return await a2a_tools.call(tool, make.org_id, arguments, actor=None, **more)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_call_is_a_transparent_dispatch(make, run_job, tool, monkeypatch):
    monkeypatch.setattr(a2a_tools, "LOOK_SECONDS", 0.05)
    the_tool, peer = tool
    session = await make.session()

    result = await calling(make, run_job, the_tool, {"text": "review"}, session_id=session)

    (listed,) = (await make.org.get("/api/a2a/dispatches")).json()["dispatches"]
    assert the_tool.name == "code_reviewer.review"
    assert (result["status"], result["text"]) == ("completed", "Two remarks")
    assert result["artifacts"][0]["name"] == "review"
    assert (listed["dispatchType"], listed["skillId"], listed["sessionId"]) == (
        "transparent",
        "review",
        session,
    )
    assert listed["dispatchId"] == result["dispatchId"]
    (asked,) = peer.reviewer.asked
    assert asked.parts[0].text == "review"


async def test_what_the_agent_fails_is_said(make, run_job, tool, monkeypatch):
    monkeypatch.setattr(a2a_tools, "LOOK_SECONDS", 0.05)

    with pytest.raises(Conflict, match="No such branch"):
        await calling(make, run_job, tool[0], {"text": "fail"})


async def test_a_call_that_takes_long_tells_where_the_result_will_be(make, run_job, tool):
    result = await calling(make, run_job, tool[0], {"text": "wait"}, wait_seconds=0.3)

    assert result["status"] in {"pending", "running"}
    assert result["dispatchId"].startswith("dsp_")


async def test_a_tool_whose_agent_lost_its_trust_is_not_called(make, tool):
    the_tool, peer = tool
    await make.org.patch(f"/api/a2a/agents/{the_tool.agent_id}", json={"trustLevel": "external"})

    with pytest.raises(NotFound):
        await a2a_tools.call(the_tool, make.org_id, {}, actor=None)

    assert peer.requests == []
