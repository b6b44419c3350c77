"""A rotation reaches thousands of streams on several processes at once, whatever some do."""

import asyncio
import json
import os
import resource
import signal
import socket
import statistics
import time

import pytest

from bench.connections import Caller
from bench.servers import Server
from bench.tenants import Tenant
from supervisor.stores import Stores
from tests.prove.shared import urls

pytestmark = pytest.mark.prove

BOUND_SECONDS = 240
FULL = 1000
ROUNDS = 5
DEAD = 10
OPENING = 100
SPARE_FILES = 500
ENVIRONMENTS = ("production", "staging", "preview")
PATH = "/api/daemon/credentials/rotate-stream"
LONG = "x" * 60_000


@pytest.fixture(autouse=True)
async def bound():
    """No test of this module runs on for ever."""
    async with asyncio.timeout(BOUND_SECONDS):
        yield


@pytest.fixture
def most_streams():
    """How many streams each server may have, with as many open files as this process may raise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield (hard - SPARE_FILES) // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def two_servers(folder):
    """Two servers over the same stores, each with one web process."""
    with Stores(folder / "stores") as stores:
        settings = {**urls(stores), "RENSEI_WORKERS": "1"}
        for name in ("one", "two"):
            (folder / name).mkdir()
        with Server(folder / "one", **settings) as one, Server(folder / "two", **settings) as two:
            yield stores, one, two


class Reader(asyncio.Protocol):
    """One stream: notes what comes and when."""

    def __init__(self, request):
        self.request = request
        self.opened = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self.updates = []
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.received += data
        if not self.opened.done() and b"\nid: " in self.received:
            self.opened.set_result(None)
        while b"event: UPDATE\ndata: " in self.received:
            head, _, rest = self.received.partition(b"event: UPDATE\ndata: ")
            line, end, self.received = rest.partition(b"\n\n")
            if not end:
                self.received = head + b"event: UPDATE\ndata: " + line
                return
            self.updates.append((time.perf_counter(), json.loads(line)["env"]))

    def connection_lost(self, error):
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(self.received.decode()))
        if not self.closed.done():
            # The last chunk is what says that the answer is whole.
            self.closed.set_result(self.received.endswith(b"\r\n0\r\n\r\n"))


def request(worker, session_id, environment):
    return (
        f"GET {PATH}?sessionId={session_id}&envName={environment} HTTP/1.1\r\nHost: x\r\n"
        f"Connection: close\r\nAuthorization: Bearer {worker.token}\r\n\r\n"
    ).encode()


async def open_streams(server, worker, sessions):
    """A stream for each session, the environments taking turns."""
    readers = []
    limit = asyncio.Semaphore(OPENING)

    async def begin(place, session_id):
        async with limit:
            environment = ENVIRONMENTS[place % len(ENVIRONMENTS)]
            _, reader = await asyncio.get_running_loop().create_connection(
                lambda: Reader(request(worker, session_id, environment)), "127.0.0.1", server.port
            )
            readers.append((environment, reader))
            await reader.opened

    await asyncio.gather(*(begin(*each) for each in enumerate(sessions)))
    return readers


def dead_stream(server, worker, session_id):
    """A stream whose client takes nothing of what it is sent."""
    dead = socket.socket()
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.connect(("127.0.0.1", server.port))
    dead.sendall(request(worker, session_id, "dead"))
    return dead


async def test_one_rotation_reaches_every_stream_of_two_processes_within_a_second(
    two_servers, connect, scaled, most_streams, capsys
):
    stores, *servers = two_servers
    count = min(scaled(FULL, 50), most_streams)
    owner = await connect(stores.owner_url)
    tenant = await Tenant.make(servers[0].port, "rotations")
    worker = await tenant.worker(capacity=1_000_000)
    await tenant.queue(owner, count, "ses-")
    await owner.execute(
        "update sessions set status = 'running', worker_id = %s, slot_worker_id = %s"
        " where org_id = %s",
        (worker.id, worker.id, tenant.org_id),
    )
    org = Caller(servers[0].port, tenant.org_key)

    async def put(value, env_name=None):
        variables = [{"name": "TOKEN", "value": value}]
        answer = await org.call(
            "PUT",
            f"/api/org/{tenant.org_id}/credentials",
            {"kind": "npm", "envName": env_name, "variables": variables},
        )
        assert answer.status == 200, answer.body

    sessions = [f"ses-{n}" for n in range(1, count + 1)]
    begun = time.perf_counter()
    readers = [await open_streams(server, worker, sessions) for server in servers]
    opening = time.perf_counter() - begun
    dead = [dead_stream(server, worker, "ses-1") for server in servers for _ in range(DEAD)]
    await asyncio.sleep(1)  # each process tells the other how many streams it has

    took, counts = [], []
    for number in range(ROUNDS):
        await put(f"org-{number}")
        await put(f"staging-{number}", "staging")
        await put(LONG + str(number), "dead")
        await asyncio.sleep(0.5)
        begun = time.perf_counter()
        answer = await org.post(
            "/api/daemon/credentials/rotate", {"orgId": tenant.org_id, "kind": "npm"}
        )
        counts.append(answer.json()["sessionCount"])
        async with asyncio.timeout(20):
            while any(len(r.updates) <= number for group in readers for _, r in group):
                await asyncio.sleep(0.02)
        took.append(max(r.updates[number][0] for group in readers for _, r in group) - begun)

    told = [time.perf_counter()]
    for server in servers:
        stop(server)
    whole = await asyncio.gather(*(r.closed for group in readers for _, r in group))
    told.append(time.perf_counter())
    for each in dead:
        each.close()
    org.close()

    with capsys.disabled():
        print(
            f"\n2 x {count:,} streams opened in {opening:.1f} s; rotations reached the last of"
            f" them after {', '.join(f'{each * 1000:.0f}' for each in took)} ms, with"
            f" {2 * DEAD} readers that take nothing; all ended {told[1] - told[0]:.1f} s after"
            " SIGTERM"
        )
    for group in readers:
        for environment, reader in group:
            expected = "staging" if environment == "staging" else "org"
            assert [env for _, env in reader.updates] == [
                {"TOKEN": f"{expected}-{number}"} for number in range(ROUNDS)
            ]
    assert counts == [2 * (count + DEAD)] * ROUNDS
    assert statistics.median(took) < 1
    assert all(whole)
    assert told[1] - told[0] < 4


def stop(server):
    """Tell a server's web process to end, as its supervisor would."""
    os.kill(server.web_processes()[0].pid, signal.SIGTERM)
