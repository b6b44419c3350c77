"""Agents elsewhere are tools of the agents here, as long as somebody trusts them."""

import asyncio
import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

import settings
from jobs.send_dispatches import send_dispatches
from services import a2a_tools
from services.tools.peers import PROVIDER
from tests.mcp_client import Agent, call, request
from tests.sdk_peer import sdk_peer


@pytest.fixture
async def peer(given, make, owner):
    """A trusted SDK peer that reviews."""
    await owner.execute("update a2a_dispatches set status = 'failed' where completed_at is null")
    async with sdk_peer() as peer:
        settings.use(replace(given, allowed_private_hosts=(peer.host,)))
        made = await make.org.post(
            "/api/a2a/agents", json={"url": peer.url, "trustLevel": "trusted"}
        )
        assert made.status_code == 201, made.text
        yield peer
        settings.use(given)


@pytest.fixture
async def sending(run_job, monkeypatch):
    """The job that sends dispatches goes on beside the test."""
    monkeypatch.setattr(a2a_tools, "LOOK_SECONDS", 0.05)

    async def jobs():
        while True:
            await run_job(send_dispatches)
            await asyncio.sleep(0.05)

    running = asyncio.create_task(jobs())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def tools(agent):
    answer = await agent.post(request("tools/list"))
    return [each["name"] for each in answer.json()["result"]["tools"]]


async def test_a_trusted_peers_skill_is_listed_called_and_recorded(make, peer, sending):
    agent = await Agent.begin(make)

    result = await agent.result("code_reviewer.review", text="review")
    by_alias = await agent.result("a2a_code_reviewer_review", text="review")

    listed = (await make.org.get("/api/a2a/dispatches")).json()["dispatches"]
    assert "code_reviewer.review" in await tools(agent)
    assert (result["status"], result["text"]) == ("completed", "Two remarks")
    assert {each["dispatchId"] for each in listed} == {
        result["dispatchId"],
        by_alias["dispatchId"],
    }
    assert {(each["dispatchType"], each["sessionId"]) for each in listed} == {
        ("transparent", agent.id)
    }


async def test_what_a_peer_fails_the_model_is_told(make, peer, sending):
    agent = await Agent.begin(make)

    assert "No such branch" in await agent.failure("code_reviewer.review", text="fail")


async def test_another_organizations_agent_finds_no_such_tool(make, peer, application, owner):
    agent = await Agent.begin(make)
    others = await make.organization()
    stranger = await make.key(others)
    project = await make.project(others)
    worker = await make.worker(stranger, projectId=project)
    theirs = await Agent.begin(make, worker, org_id=others, project_id=project)

    error = await theirs.error(call("code_reviewer.review", text="review"))

    assert error["code"] == -32601
    assert "code_reviewer.review" in await tools(agent)
    assert "code_reviewer.review" not in await tools(theirs)
    assert peer.reviewer.asked == []


async def test_a_schema_that_is_none_takes_any_object(make):
    card = (
        '{"name": "Ops", "skills": [{"id": "deploy",'
        ' "inputSchema": {"type": "object", "properties": {"to": {"type": "nowhere"}}}}]}'
    )
    await make.agent(trust_level="trusted", card=card)
    agent = await Agent.begin(make)

    answer = await agent.post(request("tools/list"))

    (tool,) = [each for each in answer.json()["result"]["tools"] if each["name"] == "ops.deploy"]
    assert tool["inputSchema"] == {"type": "object", "additionalProperties": True}


def card_with(schema):
    return json.dumps({"name": "Ops", "skills": [{"id": "deploy", "inputSchema": schema}]})


@pytest.mark.parametrize(
    "schema",
    [
        {
            "properties": {"to": {"$ref": "#/$defs/0"}},
            "$defs": {
                **{str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(15)},
                "15": {"type": "integer"},
            },
        },
        {
            "properties": {
                f"p{n}": {"type": "string", "pattern": f"(?:a{{{500 + n}}}){{90}}"}
                for n in range(500)
            },
        },
    ],
    ids=["branches", "patterns"],
)
async def test_a_schema_that_takes_for_ever_to_check_keeps_nobody_waiting(make, schema):
    await make.agent(trust_level="trusted", card=card_with({"type": "object", **schema}))
    begun = time.process_time()

    tool = await PROVIDER.find(SimpleNamespace(org_id=make.org_id), "ops.deploy")
    tool.check({"to": "x"})

    assert time.process_time() - begun < 1


async def test_what_a_call_must_have_is_told_before_a_peer_is_asked(make):
    schema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
    await make.agent(trust_level="trusted", card=card_with(schema))
    agent = await Agent.begin(make)

    lacking = await agent.error(call("ops.deploy"))
    wrong = await agent.error(call("ops.deploy", to=7))

    assert (lacking["code"], lacking["message"]) == (-32602, "arguments.to: is required")
    assert (wrong["code"], wrong["message"]) == (-32602, "arguments.to: 7 is not a string")
    assert (await make.org.get("/api/a2a/dispatches")).json()["dispatches"] == []
