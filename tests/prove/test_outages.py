"""Stores and processes that go away: what was answered stays, and what lives keeps its work."""

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from bench.connections import Caller
from bench.servers import Server
from bench.tenants import Tenant
from supervisor.stores import Stores
from tests.prove.fleet import recorded
from tests.prove.shared import LEASE_SECONDS, health, urls
from tests.sampling import SHARE

pytestmark = pytest.mark.prove

BOUND_SECONDS = 120
OUTAGE_SECONDS = 3.0
LEASES_AWAY = 6


@pytest.fixture(autouse=True)
async def bound():
    """No test of this module runs on for ever."""
    async with asyncio.timeout(BOUND_SECONDS):
        yield


class Reporter:
    """A worker with some sessions, which reports activities all the time and notes each answer."""

    def __init__(self, tenant, worker, sessions) -> None:
        self.port = tenant.port
        self.org_id = tenant.org_id
        self.worker = worker
        self.sessions = sessions
        self.accepted: dict[str, list[int]] = {session: [] for session in sessions}
        self.statuses: Counter[int] = Counter()
        self.broken_off = 0
        self.wrong: list[str] = []

    @classmethod
    async def begin(cls, tenant, owner, count: int = 4):
        worker = await tenant.worker(capacity=count)
        await tenant.queue(owner, count, "ses-")
        caller = Caller(tenant.port, worker.token)
        work = (await caller.get(f"/api/workers/{worker.id}/poll")).json()["work"]
        caller.close()
        assert len(work) == count
        return cls(tenant, worker, [each["sessionId"] for each in work])

    @asynccontextmanager
    async def reporting(self):
        """Post activities, heartbeats and polls for as long as the body runs."""
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for session_id in self.sessions:
                group.create_task(self._post(session_id, done))
            group.create_task(self._beat(done))
            try:
                yield
            finally:
                done.set()

    async def beat(self) -> int:
        """One heartbeat that counts all it holds; the status of its answer."""
        caller = Caller(self.port, self.worker.token)
        answer = await caller.post(
            f"/api/workers/{self.worker.id}/heartbeat", {"activeCount": len(self.sessions)}
        )
        caller.close()
        return answer.status

    async def _post(self, session_id: str, done: asyncio.Event) -> None:
        caller = Caller(self.port, self.worker.token)
        number = 0
        while not done.is_set():
            number += 1
            activity = {"type": "thought", "content": str(number)}
            if await self._send(
                caller,
                "POST",
                f"/api/sessions/{session_id}/activity",
                {"workerId": self.worker.id, "activity": activity},
            ):
                self.accepted[session_id].append(number)
            await asyncio.sleep(0.005)
        caller.close()

    async def _beat(self, done: asyncio.Event) -> None:
        caller = Caller(self.port, self.worker.token)
        path = f"/api/workers/{self.worker.id}"
        while not done.is_set():
            await self._send(
                caller, "POST", f"{path}/heartbeat", {"activeCount": len(self.sessions)}
            )
            await self._send(caller, "GET", f"{path}/poll", None)
            await asyncio.sleep(0.05)
        caller.close()

    async def _send(self, caller: Caller, method: str, path: str, body) -> bool:
        try:
            answer = await caller.call(method, path, body)
        except OSError:
            self.broken_off += 1
            await asyncio.sleep(0.02)
            return False
        self.statuses[answer.status] += 1
        if answer.status == 503:
            said = answer.json()
            if not said.get("error") or not answer.headers.get("retry-after", "").isdigit():
                self.wrong.append(f"{answer.headers} {answer.body.decode()}")
        return answer.status == 200

    async def lost(self, owner) -> list[str]:
        """What was answered with 200 and is not stored."""
        rows = await owner.execute(
            "select session_id, activity ->> 'content' as content from activities"
            " where org_id = %s",
            (self.org_id,),
        )
        stored = {(row.session_id, row.content) for row in await rows.fetchall()}
        return [
            f"{session}: {number}"
            for session, numbers in self.accepted.items()
            for number in numbers
            if (session, str(number)) not in stored
        ]

    def count(self) -> int:
        return sum(map(len, self.accepted.values()))

    async def until(self, count: int) -> None:
        """Wait until so many more activities are accepted."""
        wanted = self.count() + count
        while self.count() < wanted:
            await asyncio.sleep(0.02)


async def holders(owner, tenant):
    rows = await owner.execute(
        "select id, status, worker_id, lease_epoch from sessions where org_id = %s order by id",
        (tenant.org_id,),
    )
    return [tuple(row) for row in await rows.fetchall()]


async def health_says(port: int, name: str, value: str) -> None:
    while (await health(port)).get(name) != value:
        await asyncio.sleep(0.02)


async def test_while_postgresql_is_away_all_is_503_and_nothing_that_was_answered_is_lost(
    apart, connect
):
    owner = await connect(apart.stores.owner_url)
    tenant = await Tenant.make(apart.server.port, "outage-of-postgresql")
    reporter = await Reporter.begin(tenant, owner)

    async with reporter.reporting():
        await reporter.until(100)
        apart.stores.postgres.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        during = Counter(reporter.statuses)
        refused = await health(apart.server.port)
        apart.stores.postgres.start()
        began = time.monotonic()
        await reporter.until(100)
        took = time.monotonic() - began

    assert set(reporter.statuses) == {200, 503}
    assert during[503] > 0
    assert reporter.wrong == []
    assert reporter.broken_off == 0
    assert set(refused) == {"error"}
    assert took < 15
    owner = await connect(apart.stores.owner_url)
    assert await reporter.lost(owner) == []


async def test_a_postgresql_that_the_supervisor_must_start_again_is_served_from_soon(
    shared_server, connect, scaled
):
    server = shared_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "postgresql-killed")
    reporter = await Reporter.begin(tenant, owner)

    async with reporter.reporting():
        for _ in range(scaled(5, 2)):
            await reporter.until(100)
            os.kill(server.postgres().pid, signal.SIGKILL)
            await reporter.until(100)

    assert set(reporter.statuses) <= {200, 503}
    assert reporter.wrong == []
    assert reporter.broken_off == 0
    owner = await connect(server.owner_url)
    assert await reporter.lost(owner) == []


async def test_without_valkey_everything_works_and_health_tells(apart, connect):
    port = apart.server.port
    owner = await connect(apart.stores.owner_url)
    tenant = await Tenant.make(port, "outage-of-valkey")
    reporter = await Reporter.begin(tenant, owner)

    async with reporter.reporting():
        assert (await health(port))["redis"] == "up"
        apart.stores.valkey.kill()
        await health_says(port, "redis", "down")
        await reporter.until(200)
        assert (await health(port))["status"] == "ok"
        apart.stores.valkey.start()
        await health_says(port, "redis", "up")
        await reporter.until(50)

    assert set(reporter.statuses) == {200}
    assert reporter.broken_off == 0
    assert await reporter.lost(owner) == []


async def test_a_valkey_that_the_supervisor_must_start_again_disturbs_nobody(
    shared_server, connect, scaled
):
    server = shared_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "valkey-killed")
    reporter = await Reporter.begin(tenant, owner)

    async with reporter.reporting():
        for _ in range(scaled(5, 2)):
            await health_says(server.port, "redis", "up")
            os.kill(server.valkey().pid, signal.SIGKILL)
            await reporter.until(50)
        await health_says(server.port, "redis", "up")

    assert set(reporter.statuses) == {200}
    assert reporter.broken_off == 0


async def test_a_server_waits_for_its_database_starts_without_redis_and_finds_it_later(
    folder, serve
):
    with Stores(folder / "stores") as stores:
        given = urls(stores)
        stores.postgres.kill()
        stores.valkey.kill()
        server = serve(started=False, **given)
        server.launch()
        await asyncio.sleep(4)

        assert server.exit_code is None, server.output
        stores.postgres.start()
        await asyncio.to_thread(server.wait_until_ready)
        assert (await health(server.port))["redis"] == "down"
        tenant = await Tenant.make(server.port, "late")
        assert (await tenant.worker()).id
        stores.valkey.start()

        await health_says(server.port, "redis", "up")
        server.stop()


async def test_a_silence_shorter_than_a_lease_moves_no_session(hasty_server, connect, scaled):
    server = hasty_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "silence")
    reporter = await Reporter.begin(tenant, owner)
    before = await holders(owner, tenant)

    for _ in range(scaled(4, 2)):
        await asyncio.sleep(LEASE_SECONDS * 0.7)
        assert await reporter.beat() == 200

    assert await holders(owner, tenant) == before
    assert await recorded(owner, tenant.org_id, "session.lease_ended") == {}


async def test_a_five_minute_outage_moves_no_session_of_a_worker_that_comes_back(
    hasty_server, connect
):
    """Five minutes at the ordinary lease are six leases; the clock of this one is scaled."""
    server = hasty_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "five-minutes")
    reporter = await Reporter.begin(tenant, owner)
    rival = await tenant.worker(capacity=10)
    before = await holders(owner, tenant)
    await owner.close()

    server.kill()
    await asyncio.sleep(LEASE_SECONDS * max(1.5, LEASES_AWAY * SHARE))
    await asyncio.to_thread(restart, server)
    watched_until = time.monotonic() + LEASE_SECONDS * 2
    caller = Caller(server.port, rival.token)
    while time.monotonic() < watched_until:
        assert await reporter.beat() == 200
        assert (await caller.get(f"/api/workers/{rival.id}/poll")).json()["work"] == []
        await asyncio.sleep(0.5)
    caller.close()

    owner = await connect(server.owner_url)
    assert await holders(owner, tenant) == before
    assert await recorded(owner, tenant.org_id, "session.lease_ended") == {}


def restart(server: Server) -> None:
    server.launch()
    server.wait_until_ready()


async def test_kill_9_of_the_supervisor_leaves_no_process_and_loses_nothing_that_was_answered(
    shared_server, connect
):
    server = shared_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "crash")
    reporter = await Reporter.begin(tenant, owner)
    await owner.close()

    async with reporter.reporting():
        await reporter.until(200)
        server.kill_supervisor()
        while left := server.processes():
            await asyncio.sleep(0.1)
    assert left == []
    await asyncio.to_thread(restart, server)

    owner = await connect(server.owner_url)
    assert set(reporter.statuses) <= {200, 503}
    assert await reporter.lost(owner) == []
    async with reporter.reporting():
        await reporter.until(50)


async def test_a_poll_answer_that_nobody_received_comes_back_by_the_lease(hasty_server, connect):
    server = hasty_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "unheard")
    unheard, other = await tenant.worker(), await tenant.worker()
    await tenant.queue(owner, 1, "ses-")
    callers = {each: Caller(server.port, each.token) for each in (unheard, other)}
    assert (await callers[unheard].get(f"/api/workers/{unheard.id}/poll")).json()["work"]

    work: list[dict[str, object]] = []
    while not work:
        for worker, caller in callers.items():
            await caller.post(f"/api/workers/{worker.id}/heartbeat", {"activeCount": 0})
        work = (await callers[other].get(f"/api/workers/{other.id}/poll")).json()["work"]
        await asyncio.sleep(0.2)

    assert [(each["sessionId"], each["leaseEpoch"]) for each in work] == [("ses-1", 2)]
    for caller in callers.values():
        caller.close()
