"""While the server asks others all that it ever asks, every connection is the guard's."""

import asyncio
import socket
import sys
from contextvars import ContextVar
from dataclasses import replace

import pytest

import settings
from jobs.send_dispatches import send_dispatches
from jobs.send_outbox import send_outbox
from jobs.tell_clients import tell_clients
from outbound import guarded_client
from tests.outbound.servers import FakeLinear, Server, reply, running
from tests.sdk_peer import sdk_peer

_inside = ContextVar("inside", default=False)
_heard = None


def _hear(event, arguments):
    if event == "socket.connect" and _heard is not None and isinstance(arguments[1], tuple):
        _heard.append((arguments[1][:2], _inside.get()))


sys.addaudithook(_hear)  # for good: hooks cannot be taken away


@pytest.fixture
def connections(monkeypatch):
    """(address, whether the guard opened it) of every connection to another address."""
    global _heard
    connect = guarded_client._Network.connect_tcp

    async def guarded(self, *args, **options):
        token = _inside.set(True)
        try:
            return await connect(self, *args, **options)
        finally:
            _inside.reset(token)

    monkeypatch.setattr(guarded_client._Network, "connect_tcp", guarded)
    _heard = found = []
    yield found
    _heard = None


async def test_the_hook_hears_whoever_goes_round_the_guard(connections):
    async with running(Server(lambda _: reply())) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
        with socket.create_connection(("127.0.0.1", server.port)):
            pass

    assert connections == [(("127.0.0.1", server.port), False)] * 2


async def test_cards_dispatches_notifications_and_the_tracker_go_through_the_guard(
    given, make, owner, run_job, connections
):
    for table, done in (
        ("a2a_dispatches", "status = 'failed'"),
        ("a2a_push_configs", "is_done = true"),
        ("outbox", "status = 'dead'"),
    ):
        await owner.execute(f"update {table} set {done}")
    caller = make.client(await make.key(projects=[make.project_id], scopes=["sessions:write"]))
    async with (
        sdk_peer() as peer,
        running(Server(lambda _: reply())) as hook,
        running(FakeLinear()) as linear,
    ):
        settings.use(
            replace(
                given,
                linear_api_key=settings.Secret("lin_oauth_of_the_tests"),
                linear_api_key_org=make.org_id,
                linear_api_url=linear.url,
                allowed_private_hosts=(peer.host, hook.host, linear.host),
            )
        )
        agent = await make.org.post("/api/a2a/agents", json={"url": peer.url})
        await make.org.post(
            f"/api/a2a/agents/{agent.json()['agent']['id']}/dispatches", json={"text": "review"}
        )
        said = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Do it"}]}
        sent = await caller.post(
            "/api/a2a",
            json={
                "jsonrpc": "2.0",
                "id": 1,
                "method": "SendMessage",
                "params": {
                    "message": said,
                    "configuration": {
                        "returnImmediately": True,
                        "taskPushNotificationConfig": {"url": f"{hook.url}/hook"},
                    },
                },
            },
        )
        session_id = await make.session()
        worker = await make.worker()
        await worker.client.get(f"/api/workers/{worker.id}/poll")
        await worker.client.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": "thought", "content": "x"}},
        )
        counts = [await run_job(job) for job in (send_dispatches, tell_clients, send_outbox)]
        settings.use(given)

    assert sent.json()["result"]["task"]["id"]
    assert counts == [1, 1, 1]
    reached = {address[1] for address, _ in connections}
    assert {server.port for server in (hook, linear)} <= reached
    assert int(peer.host.rpartition(":")[2]) in reached
    assert [address for address, is_guarded in connections if not is_guarded] == []
