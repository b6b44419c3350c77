"""A choice of provider blocks the start of a session: it comes at once, whatever is away."""

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from statistics import quantiles
from typing import Any

import pytest

from bench import processes
from bench.connections import Caller
from bench.tenants import Tenant

pytestmark = pytest.mark.prove

BOUND_SECONDS = 120
CONNECTIONS = 16
PROMISED_MS = 50
PACE_SECONDS = 0.04
ROUNDS = 5
SPIN_SECONDS = 0.1
CLIENT_SECONDS = 3
CANDIDATES = ["claude", "codex", "amp", "gemini"]


@pytest.fixture(autouse=True)
async def bound():
    """No test of this module runs on for ever."""
    async with asyncio.timeout(BOUND_SECONDS):
        yield


class Fleet:
    """Workers that hold a session each, with a connection of their own."""

    def __init__(self, tenant, workers, sessions) -> None:
        self.tenant = tenant
        self.sessions = sessions
        self.callers = [Caller(tenant.port, worker.token) for worker in workers]
        self.statuses: Counter[int] = Counter()
        self.sources: Counter[str] = Counter()

    @classmethod
    async def begin(cls, server, owner):
        tenant = await Tenant.make(server.port, f"routing-{secrets.token_hex(4)}")
        workers = [await tenant.worker() for _ in range(CONNECTIONS)]
        await tenant.queue(owner, CONNECTIONS, "ses-")
        sessions = []
        for worker in workers:
            caller = Caller(tenant.port, worker.token)
            work = (await caller.get(f"/api/workers/{worker.id}/poll")).json()["work"]
            sessions.append(work[0]["sessionId"])
            caller.close()
        return cls(tenant, workers, sessions)

    async def select(self, each: int) -> float:
        """One choice; how long it took, in milliseconds."""
        path = f"/api/sessions/{self.sessions[each]}/routing-select"
        begun = time.perf_counter()
        answer = await self.callers[each].post(
            path, {"workType": "development", "candidates": CANDIDATES}
        )
        took = (time.perf_counter() - begun) * 1000
        self.statuses[answer.status] += 1
        if answer.status == 200:
            said = answer.json()
            self.sources[said["source"]] += 1
            assert said["selectedProvider"] in CANDIDATES
        return took

    async def storm(self, count: int, pace_seconds: float = 0.0) -> list[float]:
        """So many choices over all connections, each of which waits for its answer, and then for
        the rest of the pace."""
        left = iter(range(count))

        async def some(each: int) -> list[float]:
            found = []
            for _ in left:
                found.append(await self.select(each))
                await asyncio.sleep(max(0.0, pace_seconds - found[-1] / 1000))
            return found

        found = await asyncio.gather(*(some(each) for each in range(CONNECTIONS)))
        return [took for each in found for took in each]

    async def is_prompt(self, count: int, capsys: Any, what: str) -> bool:
        """Whether 99 of 100 choices come in the time promised, in the best of some rounds.

        Whatever else runs on this machine only ever adds, so a slow round proves nothing; and
        while it leaves us a part of the CPU only, as much more time is granted.
        """
        for _ in range(ROUNDS):
            slowness = how_slow()
            took = await self.storm(count, PACE_SECONDS)
            p99 = quantiles(took, n=100)[-1]
            with capsys.disabled():
                print(
                    f"\nrouting, {what}: {count} choices on {CONNECTIONS} connections,"
                    f" median {quantiles(took, n=2)[0]:.1f} ms, p99 {p99:.1f} ms,"
                    f" longest {max(took):.0f} ms, on a machine {slowness:.1f} times as slow"
                    " as an idle one"
                )
            if p99 <= PROMISED_MS * slowness:
                return True
        return False

    async def feedback(self, each: int, provider: str, reward: float) -> int:
        """One feedback, over a connection of its own; the status of its answer."""
        caller = Caller(self.tenant.port, self.callers[each].token)
        answer = await caller.post(
            f"/api/sessions/{self.sessions[each]}/routing-feedback",
            {"provider": provider, "workType": "development", "reward": reward},
        )
        caller.close()
        return answer.status

    def close(self) -> None:
        for caller in self.callers:
            caller.close()


def how_slow() -> float:
    """How much longer than its CPU time a busy loop takes: 1 on a machine that is idle."""
    wall, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < SPIN_SECONDS:
        pass
    return (time.perf_counter() - wall) / (time.process_time() - used)


@asynccontextmanager
async def routed(server, owner):
    """A fleet whose every connection was served once by the process that it leads to."""
    fleet = await Fleet.begin(server, owner)
    await fleet.storm(CONNECTIONS * 20)
    fleet.statuses.clear()
    fleet.sources.clear()
    yield fleet
    fleet.close()


@contextmanager
def as_told(store, what: str):
    """The store killed, silent (it takes connections and answers nothing) or well."""
    stopped = [each.pid for each in processes.tree(store.process.pid)] if what == "silent" else []
    if what == "killed":
        store.kill()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("redis", ["well", "killed", "silent"])
async def test_a_choice_comes_within_fifty_milliseconds_with_redis_or_without(
    apart, connect, scaled, capsys, redis
):
    owner = await connect(apart.stores.owner_url)
    async with routed(apart.server, owner) as fleet:
        with as_told(apart.stores.valkey, redis):
            prompt = await fleet.is_prompt(scaled(10_000, 1000), capsys, f"Redis {redis}")

    assert set(fleet.statuses) == {200}
    assert set(fleet.sources) == {"mab-routing"}
    assert prompt


@pytest.mark.parametrize("postgresql", ["killed", "silent"])
async def test_whoever_was_seen_lately_is_served_as_promptly_without_postgresql(
    apart, connect, scaled, capsys, postgresql
):
    owner = await connect(apart.stores.owner_url)
    async with routed(apart.server, owner) as fleet:
        stranger = await fleet.tenant.worker()
        await fleet.tenant.queue(owner, 1, "new-")
        unseen = Caller(apart.server.port, stranger.token)
        await unseen.get(f"/api/workers/{stranger.id}/poll")
        with as_told(apart.stores.postgres, postgresql):
            prompt = await fleet.is_prompt(scaled(10_000, 1000), capsys, f"PostgreSQL {postgresql}")
            statuses = Counter(fleet.statuses)
            begun = time.monotonic()
            refused = await unseen.post(
                "/api/sessions/new-1/routing-select",
                {"workType": "development", "candidates": CANDIDATES},
            )
            waited = time.monotonic() - begun
        unseen.close()

    assert set(statuses) == {200}
    assert set(fleet.sources) == {"mab-routing"}
    assert prompt
    assert refused.status == 503
    assert refused.headers["retry-after"].isdigit()
    assert waited < CLIENT_SECONDS


async def test_when_postgresql_is_back_it_is_asked_again(apart, connect):
    owner = await connect(apart.stores.owner_url)
    async with routed(apart.server, owner) as fleet:
        apart.stores.postgres.kill()
        await fleet.storm(500)
        apart.stores.postgres.start()
        owner = await connect(apart.stores.owner_url)
        await owner.execute("delete from routing_choices")
        chosen: set[str] = set()
        while len(chosen) < CONNECTIONS:
            await fleet.storm(100)
            rows = await owner.execute(
                "select session_id from routing_choices where org_id = %s", (fleet.tenant.org_id,)
            )
            chosen = {row.session_id for row in await rows.fetchall()}

    assert set(fleet.statuses) == {200}


async def test_feedback_of_all_workers_at_once_loses_nothing(shared_server, connect, scaled):
    owner = await connect(shared_server.owner_url)
    fleet = await Fleet.begin(shared_server, owner)
    of_it = (fleet.tenant.org_id,)
    rounds = scaled(100, 10)
    told: Counter[str] = Counter()
    rewarded = dict.fromkeys(CANDIDATES, 0.0)

    for number in range(rounds):
        provider = CANDIDATES[number % len(CANDIDATES)]
        rewards = [(number * 7 + each) % 10 / 10 for each in range(CONNECTIONS)]
        statuses = await asyncio.gather(
            *(fleet.feedback(each, provider, reward) for each, reward in enumerate(rewards)),
            *(fleet.feedback(each, provider, reward) for each, reward in enumerate(rewards)),
        )
        assert set(statuses) == {200}
        told[provider] += CONNECTIONS
        rewarded[provider] += sum(rewards)
        await owner.execute(
            "update sessions set lease_epoch = lease_epoch + 1 where org_id = %s", of_it
        )
    fleet.close()

    rows = await owner.execute(
        "select provider, alpha, beta, observations from routing_arms where org_id = %s", of_it
    )
    arms = await rows.fetchall()
    assert {arm.provider for arm in arms} == set(told)
    for arm in arms:
        assert arm.observations == told[arm.provider]
        assert arm.alpha - 1 == pytest.approx(rewarded[arm.provider], rel=1e-3)
        assert arm.beta - 1 == pytest.approx(told[arm.provider] - rewarded[arm.provider], rel=1e-3)
