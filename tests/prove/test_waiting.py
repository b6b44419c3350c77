"""How long work waits for a worker: polls that wait for it, beside polls on a clock."""

import asyncio
import random
import statistics

import pytest

from bench.connections import Caller
from bench.servers import LINEAR_SECRET
from demo.source import Source
from persistence.demo import ORG, WORKSPACE
from supervisor.credentials import FILE, WORKER
from supervisor.secret_file import SecretFile
from supervisor.state_folder import StateFolder

pytestmark = pytest.mark.prove

EVENTS = 60
EVENT_SECONDS = 1.5
"""Slower than one worker takes work by its clock: five sessions a poll at the most."""
POLL_SECONDS = 5.0
BEAT_SECONDS = 10.0
JITTER = 0.4
"""Real workers wait up to so much longer, by chance."""
WAIT_SECONDS = 20


async def test_a_poll_that_waits_gets_work_at_once(shared_server, connect, scaled, capsys):
    count = scaled(EVENTS, 8)
    server = shared_server
    owner = await connect(server.owner_url)
    key = SecretFile(StateFolder(server.home), FILE).read()[WORKER]
    source = Source(server.port, LINEAR_SECRET, WORKSPACE)

    waiting = await waited(server.port, key, owner, source, count, f"?waitSeconds={WAIT_SECONDS}")
    plain = await waited(server.port, key, owner, source, count, "")

    with capsys.disabled():
        print(
            f"\nqueued to claimed, ms: waiting p50 {median(waiting):.0f}, p99 {high(waiting):.0f};"
            f" polling every {POLL_SECONDS:.0f} s p50 {median(plain):.0f}, p99 {high(plain):.0f}"
        )
    assert median(waiting) < 250
    assert high(waiting) < 1_500
    assert median(waiting) < median(plain) / 4
    source.close()


async def waited(port, key, owner, source, count, query):
    """Milliseconds from queued to claimed of so many sessions, sent one after the other."""
    worker = Caller(port, key)
    body = {"hostname": "forge-01", "capacity": 1_000_000}
    worker_id = (await worker.post("/api/workers/register", body)).json()["workerId"]
    first = len(source.sent)

    async def poll():
        chance = random.Random(count)
        while True:
            await worker.get(f"/api/workers/{worker_id}/poll{query}")
            if not query:
                await asyncio.sleep(POLL_SECONDS * chance.uniform(1, 1 + JITTER))

    async def beat():
        # It counts all that it was ever given, so that no lease ends and gives a session back.
        beating = Caller(port, key)
        while True:
            await beating.post(f"/api/workers/{worker_id}/heartbeat", {"activeCount": count})
            await asyncio.sleep(BEAT_SECONDS)

    polling = [asyncio.create_task(poll()), asyncio.create_task(beat())]
    for _ in range(count):
        await source.send()
        await asyncio.sleep(EVENT_SECONDS)
    sent, found = source.sent[first:], []
    async with asyncio.timeout(60):
        while len(found) < count:
            rows = await owner.execute(
                "select extract(epoch from claimed_at - queued_at) * 1000 as ms from sessions"
                " where org_id = %s and id = any(%s) and claimed_at is not null",
                (ORG, sent),
            )
            found = [float(row.ms) for row in await rows.fetchall()]
            await asyncio.sleep(0.1)
    for each in polling:
        each.cancel()
    await asyncio.wait(polling)
    worker.close()
    # What it held ends with it, or the next worker would find it before its own.
    await owner.execute(
        "update sessions set status = 'stopped', finished_at = now(), holds_issue = false"
        " where org_id = %s and id = any(%s)",
        (ORG, sent),
    )
    leaver = Caller(port, key)
    assert (await leaver.call("DELETE", f"/api/workers/{worker_id}")).status == 200
    leaver.close()
    return found


def median(values):
    return statistics.median(values)


def high(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
