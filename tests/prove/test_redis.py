"""Redis flushed, killed and absent throughout a run: the same result, only slower."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.connections import Caller
from bench.tenants import Tenant
from tests.prove.fleet import drain, recorded

pytestmark = pytest.mark.prove

SESSIONS = 2_000
FLUSH_SECONDS = 0.1
KILL_SECONDS = 1.0


async def undisturbed(stores, done):
    await done.wait()


async def flushed(stores, done):
    redis = Redis.from_url(stores.redis_url)
    while not done.is_set():
        with suppress(RedisError):
            await redis.flushall()
        await asyncio.sleep(FLUSH_SECONDS)
    await redis.aclose()


async def killed(stores, done):
    while not done.is_set():
        stores.valkey.kill()
        await asyncio.sleep(KILL_SECONDS)
        await asyncio.to_thread(stores.valkey.start)
        await asyncio.sleep(KILL_SECONDS)


async def absent(stores, done):
    stores.valkey.kill()
    await done.wait()


async def test_a_run_ends_the_same_whatever_becomes_of_redis(apart, connect, scaled, capsys):
    count = scaled(SESSIONS, enough=100)
    owner = await connect(apart.stores.owner_url)
    took = {}

    for disturb in (undisturbed, flushed, killed, absent):
        tenant = await Tenant.make(apart.server.port, disturb.__name__)
        await tenant.queue(owner, count, "ses-")
        done = asyncio.Event()
        disturbing = asyncio.create_task(disturb(apart.stores, done))
        drained = await drain(
            tenant, owner, count=count, beat_seconds=5, at_most_seconds=60 + count / 10
        )
        done.set()
        await disturbing
        took[disturb.__name__] = drained.seconds

        everything = Counter(f"ses-{n}" for n in range(1, count + 1))
        assert drained.ledger.unexpected == []
        assert drained.ledger.delivered == everything
        assert drained.ledger.completed == everything
        assert drained.ended == {"completed": count}
        assert await recorded(owner, tenant.org_id, "session.completed") == everything
    with capsys.disabled():
        print(
            f"\n{count:,} sessions with Redis "
            + ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in took.items())
        )


async def test_flushall_loses_no_inbox_message(apart, connect, scaled):
    server = apart.server
    owner = await connect(apart.stores.owner_url)
    tenant = await Tenant.make(server.port, "inbox")
    worker = await tenant.worker(capacity=5)
    await tenant.queue(owner, 5, "ses-")
    person, daemon = Caller(server.port, tenant.org_key), Caller(server.port, worker.token)
    poll = f"/api/workers/{worker.id}/poll"
    held = (await daemon.get(poll)).json()["claimedSessionIds"]
    for session_id in held:
        running = {"workerId": worker.id, "status": "running"}
        assert (await daemon.post(f"/api/sessions/{session_id}/status", running)).status == 200
    redis = Redis.from_url(apart.stores.redis_url)
    public = await owner.execute(
        "select id, public_id from sessions where org_id = %s", (tenant.org_id,)
    )
    public_ids = {row.id: row.public_id for row in await public.fetchall()}

    sent = set()
    for number in range(scaled(100, 20)):
        session_id = held[number % len(held)]
        answer = await person.post(
            f"/api/public/sessions/{public_ids[session_id]}/prompt", {"prompt": f"Word {number}"}
        )
        assert answer.status < 300, answer.body
        sent.add((session_id, f"Word {number}"))
        await redis.flushall()
    received = set()
    while len(received) < len(sent):
        said = (await daemon.get(poll)).json()
        assert said["inboxMessages"], "messages were lost"
        for session_id, messages in said["inboxMessages"].items():
            for message in messages:
                received.add((session_id, message["payload"]))
                body = {"messageId": message["id"], "lane": message["lane"]}
                answer = await daemon.post(f"/api/sessions/{session_id}/inbox/ack", body)
                assert answer.json() == {"acknowledged": True}
        await redis.flushall()

    assert received == sent
    assert (await daemon.get(poll)).json()["inboxMessages"] == {}
    await redis.aclose()
    person.close()
    daemon.close()
