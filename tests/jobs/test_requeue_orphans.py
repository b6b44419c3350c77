"""Leases: what keeps a session with its worker, and what gives it back to the queue."""

import pytest

from jobs.requeue_orphans import requeue_orphans

LEASE = 50


@pytest.fixture(autouse=True)
async def long_alive(owner, application):
    """The service has been able to store heartbeats for longer than a lease."""
    await owner.execute(
        "insert into service_pulse (one) values (true) on conflict (one) do update set"
        " alive_since = now() - interval '1 hour', last_pulse_at = now()"
    )
    await owner.execute("update service_pulse set alive_since = now() - interval '1 hour'")


async def silence(make, worker, seconds, *, heartbeats=True, calls=True):
    """Let this much time pass without a heartbeat, or without a call about its sessions."""
    if heartbeats:
        await make.owner.execute(
            "update workers set last_heartbeat_at = last_heartbeat_at - make_interval(secs => %s),"
            " covered_at = covered_at - make_interval(secs => %s),"
            " peak_since = peak_since - make_interval(secs => %s) where id = %s",
            (seconds, seconds, seconds, worker.id),
        )
    if calls:
        await make.owner.execute(
            "update sessions set last_call_at = last_call_at - make_interval(secs => %s)"
            " where org_id = %s and slot_worker_id = %s",
            (seconds, make.org_id, worker.id),
        )


async def beat(worker, count):
    answer = await worker.client.post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeCount": count}
    )
    assert answer.status_code == 200


async def poll(worker):
    return (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()["claimedSessionIds"]


async def running(worker, session_id):
    return await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "running"}
    )


async def test_a_silent_workers_session_goes_back_to_the_queue(make, run_job, audit_log):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)

    await silence(make, worker, LEASE - 5)
    await run_job(requeue_orphans)
    early = await make.stored(session_id)
    await silence(make, worker, 10)
    await run_job(requeue_orphans)
    late = await make.stored(session_id)

    assert early.status == "claimed"
    assert (late.status, late.worker_id, late.slot_worker_id, late.attempts) == (
        "pending",
        None,
        None,
        1,
    )
    assert await audit_log(of="session.lease_ended") == [("session.lease_ended", session_id)]
    assert await poll(other) == [session_id]


async def test_once_another_holds_it_the_old_owner_is_refused_for_good(make, run_job):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, LEASE + 5)
    await run_job(requeue_orphans)
    assert await poll(other) == [session_id]

    late = await running(worker, session_id)
    beat_back = await worker.client.post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 1}
    )

    assert late.status_code == 403
    assert "owned by another worker" in late.json()["error"]
    assert beat_back.status_code == 200
    stored = await make.stored(session_id)
    assert (stored.worker_id, stored.lease_epoch) == (other.id, 2)


@pytest.mark.parametrize("how", ["status", "activity", "completion", "read", "heartbeat"])
async def test_the_last_owner_takes_a_waiting_session_back_with_its_next_call(
    make, run_job, audit_log, how
):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await running(worker, session_id)
    await silence(make, worker, LEASE + 5)
    await run_job(requeue_orphans)
    assert (await make.stored(session_id)).status == "pending"

    if how == "status":
        answer = await running(worker, session_id)
    elif how == "activity":
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": "thought", "content": "still here"}},
        )
    elif how == "completion":
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/completion", json={"summary": "still here"}
        )
    elif how == "read":
        answer = await worker.client.get(f"/api/sessions/{session_id}/status")
    else:
        answer = await worker.client.post(
            f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 1}
        )

    stored = await make.stored(session_id)
    assert answer.status_code == 200, answer.text
    assert (stored.status, stored.worker_id, stored.slot_worker_id) == (
        "running",
        worker.id,
        worker.id,
    )
    assert stored.lease_epoch == 2
    assert await audit_log(of="session.taken_back") == [("session.taken_back", session_id)]


async def test_the_activity_that_takes_a_session_back_is_stored_though_the_epoch_grows(
    make, run_job
):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, LEASE + 5)
    await run_job(requeue_orphans)

    answer = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={
            "workerId": worker.id,
            "leaseEpoch": 1,
            "activity": {"type": "thought", "content": "still here"},
        },
    )

    stored = await make.stored(session_id)
    assert answer.status_code == 200
    assert (stored.lease_epoch, stored.activity_count) == (2, 1)


async def test_an_attempt_that_is_over_takes_nothing_back(make, run_job):
    """A process that hung since the first attempt wakes up while the second one is lost."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    for epoch in (1, 2):
        await silence(make, worker, LEASE + 5)
        await run_job(requeue_orphans)
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/status",
            json={"workerId": worker.id, "status": "running", "leaseEpoch": 1},
        )
        assert answer.status_code == (200 if epoch == 1 else 403)

    stored = await make.stored(session_id)
    assert (stored.status, stored.lease_epoch) == ("pending", 2)
    assert "owned by another worker" in answer.json()["error"]


async def test_a_lost_session_refuses_every_worker_but_its_last_owner(make, run_job):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, LEASE + 5)
    await run_job(requeue_orphans)

    answer = await running(other, session_id)

    assert answer.status_code == 403
    assert "owned by another worker" in answer.json()["error"]
    assert (await make.stored(session_id)).status == "pending"


async def test_a_worker_is_not_offered_at_once_what_it_just_lost(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, LEASE + 5)
    await run_job(requeue_orphans)

    await beat(worker, 0)
    soon = await poll(worker)
    await make.owner.execute(
        "update sessions set lost_at = lost_at - interval '51 seconds' where org_id = %s",
        (make.org_id,),
    )
    later = await poll(worker)

    assert soon == []
    assert later == [session_id]


async def test_a_covering_heartbeat_keeps_sessions_nobody_calls_about(make, run_job):
    worker = await make.worker()
    held = [await make.claimed(worker), await make.claimed(worker)]
    await silence(make, worker, LEASE * 3)

    await beat(worker, 2)
    await run_job(requeue_orphans)

    assert {(await make.stored(each)).status for each in held} == {"claimed"}


async def test_a_call_about_a_session_keeps_it_without_any_heartbeat(make, run_job):
    worker = await make.worker()
    kept, read, told, lost = [await make.claimed(worker) for _ in range(4)]
    await silence(make, worker, LEASE + 5)

    await running(worker, kept)
    await worker.client.post(f"/api/sessions/{told}/completion", json={"summary": "done"})
    await worker.client.get(f"/api/sessions/{read}/status")
    await run_job(requeue_orphans)

    assert (await make.stored(kept)).status == "running"
    assert (await make.stored(read)).status == "claimed"
    assert (await make.stored(told)).status == "claimed"
    assert (await make.stored(lost)).status == "pending"


async def test_a_worker_that_counts_too_few_for_a_lease_loses_as_many_as_it_never_counted(
    make, run_job
):
    """A daemon that restarted under its cached token counts 0, or fewer than it holds."""
    worker = await make.worker()
    held = [await make.claimed(worker) for _ in range(3)]
    await beat(worker, 1)
    await silence(make, worker, LEASE + 5)
    await beat(worker, 1)
    await silence(make, worker, LEASE + 5)
    await make.owner.execute(
        "update sessions set last_call_at = last_call_at + interval '2 seconds'"
        " where org_id = %s and id = %s",
        (make.org_id, held[0]),
    )
    await beat(worker, 1)

    await run_job(requeue_orphans)

    statuses = [(await make.stored(each)).status for each in held]
    assert statuses == ["claimed", "pending", "pending"]


async def test_nothing_is_lost_before_heartbeats_could_be_stored_for_a_lease(make, run_job):
    """After a start, or an outage: a five-minute outage moves no session of a living worker."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, 300)
    await make.owner.execute("update service_pulse set alive_since = now() - interval '49 seconds'")

    await run_job(requeue_orphans)
    young = (await make.stored(session_id)).status
    await make.owner.execute("update service_pulse set alive_since = now() - interval '51 seconds'")
    await run_job(requeue_orphans)
    old = (await make.stored(session_id)).status

    assert (young, old) == ("claimed", "pending")


async def test_while_no_web_process_beats_no_lease_ends(make, run_job):
    from persistence import pulse

    worker = await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, 300)
    await make.owner.execute("update service_pulse set last_pulse_at = now() - interval '1 minute'")

    await run_job(requeue_orphans)
    during = (await make.stored(session_id)).status
    await pulse.beat(10)
    await run_job(requeue_orphans)
    after = (await make.stored(session_id)).status

    assert (during, after) == ("claimed", "claimed")


async def test_after_five_lost_leases_a_session_fails_with_the_reason(make, run_job, audit_log):
    session_id = await make.session()

    for _ in range(5):
        worker = await make.worker()
        assert await poll(worker) == [session_id]
        await silence(make, worker, LEASE + 5)
        await run_job(requeue_orphans)

    stored = await make.stored(session_id)
    assert (stored.status, stored.attempts) == ("failed", 5)
    assert "silent" in stored.failure_reason
    assert stored.slot_worker_id is None
    assert await audit_log(of="session.failed") == [("session.failed", session_id)]


async def test_a_session_that_fails_by_its_last_lost_lease_is_closed_in_linear(
    make, run_job, linear
):
    await make.org.patch(f"/api/org/{make.org_id}/settings", json={"maxAttempts": 2})
    session_id = await make.session()

    async def told():
        found = await make.owner.execute(
            "select session_id, kind, payload from outbox where org_id = %s", (make.org_id,)
        )
        return [tuple(row) for row in await found.fetchall()]

    async def lose():
        worker = await make.worker()
        assert await poll(worker) == [session_id]
        await silence(make, worker, LEASE + 5)
        await run_job(requeue_orphans)

    await lose()
    after_one = await told()
    await lose()
    await run_job(requeue_orphans)

    assert after_one == []
    body = "The session failed: its worker fell silent 2 times"
    content = {"content": {"type": "response", "body": body}}
    assert await told() == [(session_id, "activity", content)]


async def test_more_leases_than_a_round_takes_end_in_one_run(make, run_job, monkeypatch):
    from persistence import leases

    monkeypatch.setattr(leases, "MOST_AT_ONCE", 2)
    worker = await make.worker()
    held = [await make.claimed(worker) for _ in range(5)]
    await silence(make, worker, LEASE + 5)

    await run_job(requeue_orphans)

    assert {(await make.stored(each)).status for each in held} == {"pending"}


async def test_a_session_that_a_call_is_about_right_now_is_left_to_it(make, run_job, owner, stores):
    import psycopg

    worker = await make.worker()
    called, quiet = [await make.claimed(worker) for _ in range(2)]
    await silence(make, worker, LEASE + 5)

    async with await psycopg.AsyncConnection.connect(stores.owner_url) as call:
        await call.execute(
            "select from sessions where org_id = %s and id = %s for update", (make.org_id, called)
        )
        await run_job(requeue_orphans)
        during = [(await make.stored(each)).status for each in (called, quiet)]
        await call.rollback()

    assert during == ["claimed", "pending"]


async def test_the_organization_sets_how_many_attempts_there_are(make, run_job):
    await make.org.patch(f"/api/org/{make.org_id}/settings", json={"maxAttempts": 1})
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await silence(make, worker, LEASE + 5)

    await run_job(requeue_orphans)

    assert (await make.stored(session_id)).status == "failed"


async def test_priority_and_time_in_the_queue_survive_a_lost_lease(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    before = await make.stored(session_id)
    await silence(make, worker, LEASE + 5)

    await run_job(requeue_orphans)

    after = await make.stored(session_id)
    assert (after.priority, after.queued_at) == (before.priority, before.queued_at)


async def test_an_ended_session_is_never_given_back(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "completed"}
    )
    await silence(make, worker, LEASE * 5)

    await run_job(requeue_orphans)

    assert (await make.stored(session_id)).status == "completed"
