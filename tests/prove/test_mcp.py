"""Two hundred agents at once: each sees its own session, and nothing waits for long."""

import asyncio
import time

import httpx
import pytest

from bench.connections import Caller
from bench.tenants import Tenant
from tests.mcp_client import call, request

pytestmark = pytest.mark.prove

SESSIONS = 200
ROUNDS = 5
SLOWEST_SECONDS = 30.0
"""Of a single call, on a machine that does much else: how long clients wait for an answer."""


class Talker:
    """The agent of one session, through a connection of its own."""

    def __init__(self, base_url, session_id, token):
        self.id = session_id
        self.took = []
        self._client = httpx.AsyncClient(
            base_url=base_url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    async def ask(self, body):
        begun = time.monotonic()
        answer = await self._client.post(f"/api/mcp/{self.id}", json=body)
        self.took.append(time.monotonic() - begun)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    async def tool(self, name, **arguments):
        result = await self.ask(call(name, **arguments))
        assert not result.get("isError"), result
        return result["structuredContent"]

    async def converse(self):
        """A whole session's use of its tools; what it saw of itself."""
        hello = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "p", "version": "1"}}
        await self.ask(request("initialize", hello))
        tools = (await self.ask(request("tools/list")))["tools"]
        own = []
        for number in range(ROUNDS):
            await self.tool(
                "af_memory_remember", content=f"{self.id} saw {number}", scope="session"
            )
            reserved = await self.tool("files_reserve", paths=["shared.py", f"{self.id}.py"])
            recalled = await self.tool("af_memory_recall", query="saw", max_results=50)
            status = await self.tool("session_status")
            own.append((reserved["reserved"], recalled["total"], status["reservedFiles"]))
        await self._client.aclose()
        return len(tools), own


async def test_two_hundred_sessions_talk_at_once(shared_server, scaled):
    count = scaled(SESSIONS, least=20)
    tenant = await Tenant.make(shared_server.port, "mcp-crowd")
    worker = await tenant.worker(capacity=count)
    talkers = await claimed(shared_server, tenant, worker, count)

    seen = await asyncio.gather(*(talker.converse() for talker in talkers))

    slowest = max(took for talker in talkers for took in talker.took)
    shared = [
        talker for talker, (_, own) in zip(talkers, seen, strict=True) if "shared.py" in own[0][0]
    ]
    assert len(shared) == 1
    for talker, (tools, own) in zip(talkers, seen, strict=True):
        mine = [f"{talker.id}.py"] + (["shared.py"] if talker in shared else [])
        assert tools >= 9
        assert [sorted(reserved) for reserved, _, _ in own] == [sorted(mine)] * ROUNDS
        assert [total for _, total, _ in own] == list(range(1, ROUNDS + 1))
        assert [files for _, _, files in own] == [sorted(mine)] * ROUNDS
    assert slowest < SLOWEST_SECONDS, slowest


async def claimed(server, tenant, worker, count):
    """Agents of that many sessions, which the worker has claimed."""
    base_url = f"http://127.0.0.1:{server.port}"
    org, caller = Caller(server.port, tenant.org_key), Caller(server.port, worker.token)
    for number in range(count):
        made = await org.post(
            "/api/sessions",
            {
                "projectId": tenant.project_id,
                "issueId": f"i-{number}",
                "issueIdentifier": f"I-{number}",
            },
        )
        assert made.status == 201, made.body
    talkers = []
    while len(talkers) < count:
        polled = (await caller.get(f"/api/workers/{worker.id}/poll")).json()
        assert polled["work"], "the queue ran dry"
        talkers += [
            Talker(base_url, work["sessionId"], work["mcpAuthToken"]) for work in polled["work"]
        ]
    org.close()
    caller.close()
    return talkers
