"""Where another server failed its own clients in the middle of things, and this one must not."""

from contextlib import asynccontextmanager

import httpx
import pytest

from domain.errors import Unavailable
from jobs.requeue_orphans import requeue_orphans
from tests.browser.live_server import environment, live_server
from tests.conftest import SYSTEM_KEY

ACTIVITIES = "/api/public/session-activities"


@asynccontextmanager
async def crashing(owner, org_id, status):
    """Whoever gives a session of this organization the status dies before it can commit."""
    name = f"crash_{org_id.replace('-', '_')}"
    await owner.execute(
        f"create function {name}() returns trigger language plpgsql as $$"
        " begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5);"
        " return new; end $$"
    )
    await owner.execute(
        f"create trigger {name} after update on sessions for each row"
        f" when (new.org_id = '{org_id}' and new.status = '{status}') execute function {name}()"
    )
    try:
        yield
    finally:
        await owner.execute(f"drop trigger {name} on sessions")
        await owner.execute(f"drop function {name}()")


@pytest.mark.parametrize("how", ["poll", "claim"])
async def test_failure_3_a_crash_in_the_middle_of_a_claim_strands_nothing(
    make, owner, audit_log, how
):
    """clients.md 3: a crash between popping the queue and deleting the item lost the session.

    It fails when a claim takes the slot in one transaction and sets the status in another.
    """
    worker, other = await make.worker(), await make.worker()
    session_id = await make.session()

    async with crashing(owner, make.org_id, "claimed"):
        if how == "poll":
            crashed = await worker.client.get(f"/api/workers/{worker.id}/poll")
        else:
            crashed = await worker.client.post(
                f"/api/sessions/{session_id}/claim", json={"workerId": worker.id}
            )
    after = await make.stored(session_id)
    taken = await other.client.get(f"/api/workers/{other.id}/poll")

    assert crashed.status_code == 503
    assert (after.status, after.worker_id, after.slot_worker_id) == ("pending", None, None)
    assert (after.attempts, after.lease_epoch) == (0, 0)
    assert taken.json()["claimedSessionIds"] == [session_id]
    assert await audit_log(of="session.claimed") == [("session.claimed", session_id)]


async def test_failure_3_a_crash_in_the_middle_of_a_requeue_strands_nothing(make, owner, run_job):
    """The way back into the queue is as whole as the way out of it."""
    await owner.execute(
        "insert into service_pulse (one) values (true) on conflict (one) do update set"
        " alive_since = now() - interval '1 hour', last_pulse_at = now()"
    )
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    await owner.execute(
        "update workers set last_heartbeat_at = now() - interval '1 minute',"
        " covered_at = now() - interval '1 minute' where id = %s",
        (worker.id,),
    )
    await owner.execute(
        "update sessions set last_call_at = now() - interval '1 minute' where id = %s",
        (session_id,),
    )

    async with crashing(owner, make.org_id, "pending"):
        with pytest.raises(Unavailable):
            await run_job(requeue_orphans)
    after = await make.stored(session_id)
    await run_job(requeue_orphans)
    taken = await other.client.get(f"/api/workers/{other.id}/poll")

    assert (after.status, after.slot_worker_id, after.attempts) == ("claimed", worker.id, 0)
    assert taken.json()["claimedSessionIds"] == [session_id]


async def test_failure_12_activities_are_seen_by_every_process_and_outlive_it(
    make, stores, tmp_path
):
    """clients.md 12: activities lived in one process's memory, and were gone at its restart."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    token = worker.answer["runtimeToken"]

    async def post(client, content):
        answer = await client.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": "thought", "content": content}},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 200, answer.text

    async def read(client):
        answer = await client.get(
            ACTIVITIES,
            params={"sessionId": session_id},
            headers={"Authorization": f"Bearer {make.org_key}"},
        )
        return [each["content"] for each in answer.json()["activities"]]

    told = environment(stores, SYSTEM_KEY)
    with live_server(told, tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url) as there:
            await post(make.org, "said here")
            seen_there = await read(there)
            await post(there, "said there")
        seen_here = await read(make.org)
        server.process.kill()
    with live_server(told, tmp_path) as started_anew:
        async with httpx.AsyncClient(base_url=started_anew.url) as there:
            seen_after = await read(there)

    assert seen_there == ["said here"]
    assert seen_here == seen_after == ["said here", "said there"]
