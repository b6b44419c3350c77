"""A session changes hands: claimed by name, given back, adopted, let go at a good-bye."""

import asyncio

import psycopg
import pytest


async def poll(worker):
    return (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()["claimedSessionIds"]


async def claim(worker, session_id):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/claim", json={"workerId": worker.id}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def nack(worker, session_id, **more):
    return await worker.client.post(
        f"/api/sessions/{session_id}/nack",
        json={
            "workerId": worker.id,
            "work": {
                "sessionId": session_id,
                "issueId": "",
                "issueIdentifier": "",
                "priority": 1,
                "queuedAt": 0,
            },
            **more,
        },
    )


async def transfer(worker, session_id, old):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/transfer-ownership",
        json={"newWorkerId": worker.id, "oldWorkerId": old.id},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- claim -----------------------------------------------------------------------------------


async def test_a_waiting_session_is_claimed_by_name(make, audit_log):
    worker = await make.worker()
    session_id = await make.session(project_name="billing")

    said = await claim(worker, session_id)
    again = await claim(worker, session_id)

    assert said["claimed"] is True
    assert said["session"]["workerId"] == worker.id
    assert (said["work"]["sessionId"], said["work"]["leaseEpoch"]) == (session_id, 1)
    for name in ("mcpAuthToken", "mcpAuthTokenExpiresAt"):  # fresh every time
        assert again["work"].pop(name)
        assert said["work"].pop(name)
    assert again == said | {"session": again["session"]}
    assert await audit_log(of="session.claimed") == [("session.claimed", session_id)]


async def test_failure_2_a_claim_raced_with_polls_gives_one_session_to_one_worker(make):
    """clients.md 2: claim raced with poll handed one session to two workers."""
    workers = [await make.worker(capacity=20) for _ in range(4)]
    waiting = [await make.session() for _ in range(12)]

    answers = await asyncio.gather(
        *(claim(workers[0], each) for each in waiting), *(poll(each) for each in workers[1:])
    )

    by_claim = [s for s, a in zip(waiting, answers[:12], strict=True) if a["claimed"]]
    by_poll = [session_id for answer in answers[12:] for session_id in answer]
    assert sorted(by_claim + by_poll) == sorted(waiting)


async def test_a_claim_that_cannot_be_says_why(make):
    worker, other = await make.worker(capacity=1), await make.worker(projects=["billing"])
    held = await make.claimed(worker)
    waiting = await make.session(project_name="others")
    parked = await make.session(waits_for="issue")

    assert (await claim(other, held))["reason"] == "not available or already claimed"
    assert "no room" in (await claim(worker, waiting))["reason"]
    assert "project" in (await claim(other, waiting))["reason"]
    assert "issue" in (await claim(other, parked))["reason"]


async def test_a_session_of_another_project_cannot_be_claimed(make):
    worker = await make.worker()
    elsewhere = await make.session(project_id=await make.project())

    answer = await worker.client.post(
        f"/api/sessions/{elsewhere}/claim", json={"workerId": worker.id}
    )

    assert answer.status_code == 404


# --- nack ------------------------------------------------------------------------------------


async def test_a_nacked_session_keeps_its_place_and_is_no_attempt(make, audit_log):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    before = await make.stored(session_id)

    answer = await nack(worker, session_id, reason="no capacity")
    soon = await poll(worker)
    stored = await make.stored(session_id)
    elsewhere = await poll(other)

    assert answer.json() == {"nacked": True, "sessionId": session_id, "requeued": True}
    assert soon == []
    assert (stored.status, stored.worker_id, stored.attempts) == ("pending", None, 0)
    assert (stored.priority, stored.queued_at) == (before.priority, before.queued_at)
    assert elsewhere == [session_id]
    assert await audit_log(of="session.nacked") == [("session.nacked", session_id)]


async def test_after_a_minute_it_is_offered_to_the_same_worker_again(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await nack(worker, session_id)
    await make.owner.execute(
        "update session_nacks set nacked_at = now() - interval '61 seconds' where org_id = %s",
        (make.org_id,),
    )

    assert await poll(worker) == [session_id]


async def test_a_second_nack_queues_nothing_twice(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answers = await asyncio.gather(*(nack(worker, session_id) for _ in range(4)))

    assert sorted(answer.json()["requeued"] for answer in answers) == [False, False, False, True]


async def test_after_twenty_nacks_a_session_waits_for_a_person(make):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    await make.owner.execute(
        "update sessions set nacks = 19 where org_id = %s and id = %s", (make.org_id, session_id)
    )

    await nack(worker, session_id)
    offered = await poll(other)
    state = (await other.client.get(f"/api/sessions/{session_id}/status")).json()

    assert offered == []
    assert state["status"] == "pending"
    assert "twenty times" in state["pendingReason"]


async def test_a_nack_of_running_work_or_by_another_changes_nothing(make):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)

    foreign = await nack(other, session_id)
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "running"}
    )
    running = await nack(worker, session_id)
    misnamed = await worker.client.post(
        f"/api/sessions/{session_id}/nack",
        json={
            "workerId": worker.id,
            "work": {
                "sessionId": "another",
                "issueId": "",
                "issueIdentifier": "",
                "priority": 1,
                "queuedAt": 0,
            },
        },
    )

    assert foreign.status_code == 403
    assert "owned by another worker" in foreign.json()["error"]
    assert running.json()["requeued"] is False
    assert misnamed.status_code == 400
    assert (await make.stored(session_id)).status == "running"


# --- transfer --------------------------------------------------------------------------------


async def test_a_worker_adopts_its_sessions_under_its_new_id(make, audit_log):
    old = await make.worker()
    session_id = await make.claimed(old)
    new = await make.worker()

    said = await transfer(new, session_id, old)
    again = await transfer(new, session_id, old)
    late = await old.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": old.id, "status": "running"}
    )

    assert said["transferred"] is again["transferred"] is True
    assert said["session"]["workerId"] == new.id
    assert (await make.stored(session_id)).slot_worker_id == new.id
    assert late.status_code == 403
    assert await audit_log(of="session.transferred") == [("session.transferred", session_id)]


async def test_only_workers_of_one_registration_and_host_hand_over(make):
    old = await make.worker()
    session_id = await make.claimed(old)
    elsewhere = await make.worker(hostname="forge-02")
    stranger = await make.worker(key=await make.key(projects=[make.project_id]))

    by_host = await transfer(elsewhere, session_id, old)
    by_key = await transfer(stranger, session_id, old)
    for_another = await elsewhere.client.post(
        f"/api/sessions/{session_id}/transfer-ownership",
        json={"newWorkerId": old.id, "oldWorkerId": elsewhere.id},
    )

    assert by_host["transferred"] is by_key["transferred"] is False
    assert for_another.status_code == 403
    assert (await make.stored(session_id)).worker_id == old.id


async def test_what_nobody_owns_or_a_third_does_is_not_handed_over(make):
    old, third, new = await make.worker(), await make.worker(), await make.worker()
    waiting = await make.session()
    theirs = await make.session()
    await claim(third, theirs)

    assert "nobody" in (await transfer(new, waiting, old))["reason"]
    assert third.id in (await transfer(new, theirs, old))["reason"]
    assert (await transfer(new, "nowhere", old))["transferred"] is False


# --- good-bye --------------------------------------------------------------------------------


async def test_failure_9_deregistering_gives_sessions_back_at_once(make, audit_log):
    """clients.md 9: deregistering gave nothing back; sessions waited two minutes."""
    worker, other = await make.worker(), await make.worker()
    first, second = await make.claimed(worker), await make.claimed(worker)

    record = (await worker.client.get(f"/api/workers/{worker.id}")).json()
    answer = await worker.client.delete(f"/api/workers/{worker.id}")
    taken = await poll(other)

    assert record["activeSessions"] == [first, second]
    assert answer.json() == {"deregistered": True, "unclaimedSessions": sorted([first, second])}
    assert sorted(taken) == sorted([first, second])
    assert (await make.stored(first)).attempts == 0
    assert await audit_log(of="worker.deregistered") == [("worker.deregistered", worker.id)]


@pytest.mark.parametrize("how", ["poll", "heartbeat", "get", "delete"])
async def test_a_worker_that_left_is_unknown(make, how):
    worker = await make.worker()
    await worker.client.delete(f"/api/workers/{worker.id}")
    url = f"/api/workers/{worker.id}"

    if how == "heartbeat":
        answer = await worker.client.post(f"{url}/heartbeat", json={"activeCount": 0})
    elif how == "delete":
        answer = await worker.client.delete(url)
    else:
        answer = await worker.client.get(f"{url}/poll" if how == "poll" else url)

    assert (answer.status_code, answer.json()["error"]) == (404, "Worker not found")


async def test_a_poll_that_meets_the_good_bye_takes_nothing_with_it(make, owner):
    """The session would wait a whole lease for a worker that is gone, and lose an attempt."""
    worker, other = await make.worker(), await make.worker()
    session_id = await make.session()

    async with owner.transaction():
        await owner.execute(
            "update workers set left_at = now(), revoked_at = now() where id = %s", (worker.id,)
        )
        polling = asyncio.create_task(worker.client.get(f"/api/workers/{worker.id}/poll"))
        await asyncio.sleep(0.5)
        assert not polling.done()
    met = await polling

    assert met.json()["work"] == []
    assert (await make.stored(session_id)).status == "pending"
    assert await poll(other) == [session_id]


# --- a lost poll answer ----------------------------------------------------------------------


async def beat(make, worker, count, later=0):
    """A heartbeat, so many seconds after the one before."""
    await make.owner.execute(
        "update sessions set offered_at = offered_at - make_interval(secs => %(s)s),"
        " claimed_at = claimed_at - make_interval(secs => %(s)s)"
        " where org_id = %(org)s and slot_worker_id = %(worker)s",
        {"s": later, "org": make.org_id, "worker": worker.id},
    )
    await worker.client.post(f"/api/workers/{worker.id}/heartbeat", json={"activeCount": count})


async def test_failure_1_a_lost_poll_answer_is_offered_again(make):
    """clients.md 1: claimed before the reply, no lease, never offered again."""
    worker = await make.worker()
    session_id = await make.claimed(worker)

    await beat(make, worker, 0, later=10)
    one_short = await poll(worker)
    await beat(make, worker, 0, later=10)
    too_early = await poll(worker)
    await beat(make, worker, 0, later=30)
    again = await poll(worker)
    at_once = await poll(worker)

    assert one_short == too_early == []
    assert again == [session_id]
    assert at_once == []
    assert (await make.stored(session_id)).lease_epoch == 1


async def test_a_session_about_which_a_call_came_is_never_offered_again(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await worker.client.get(f"/api/sessions/{session_id}/status")

    for _ in range(3):
        await beat(make, worker, 0, later=60)

    assert await poll(worker) == []


async def test_a_worker_that_counts_what_it_holds_is_offered_nothing_again(make):
    worker = await make.worker()
    await make.claimed(worker)

    for _ in range(3):
        await beat(make, worker, 1, later=60)

    assert await poll(worker) == []


async def test_a_claim_that_waits_for_a_session_holds_up_nobody_who_gives_it_away(make, stores):
    """A claim holds its worker and waits for the session; a transfer holds the session, and the
    row it writes names the worker. Neither may wait for the other in a ring."""
    worker = await make.worker()
    session_id = await make.session()
    async with await psycopg.AsyncConnection.connect(stores.owner_url) as transfer:
        await transfer.execute(
            "select 1 from sessions where org_id = %s and id = %s for update",
            (make.org_id, session_id),
        )
        claim = asyncio.create_task(
            worker.client.post(f"/api/sessions/{session_id}/claim", json={"workerId": worker.id})
        )
        async with asyncio.timeout(5):
            waiting = "select count(*) from pg_locks where not granted"
            while not (await (await make.owner.execute(waiting)).fetchone())[0]:
                await asyncio.sleep(0.01)
        await transfer.execute("set local lock_timeout = '500ms'")
        await transfer.execute(
            "update sessions set worker_id = %s, slot_worker_id = %s, status = 'claimed',"
            " claimed_at = now()"
            " where org_id = %s and id = %s",
            (worker.id, worker.id, make.org_id, session_id),
        )
        await transfer.commit()

    answer = await claim
    assert answer.status_code == 200
    assert answer.json()["claimed"] is True


async def test_failure_2_claims_that_meet_at_one_session_give_it_to_one(make, stores):
    """clients.md 2, made certain: both claims wait until somebody else lets the session go.

    It fails when a claim looks at the session without holding its row.
    """
    workers = [await make.worker(), await make.worker()]
    session_id = await make.session()
    async with await psycopg.AsyncConnection.connect(stores.owner_url) as holder:
        await holder.execute(
            "select 1 from sessions where org_id = %s and id = %s for update",
            (make.org_id, session_id),
        )
        claims = [asyncio.create_task(claim(worker, session_id)) for worker in workers]
        waiting = "select count(*) from pg_locks where not granted"
        async with asyncio.timeout(5):
            while (await (await make.owner.execute(waiting)).fetchone())[0] < 2:
                await asyncio.sleep(0.01)
        await holder.rollback()

    assert sorted(said["claimed"] for said in await asyncio.gather(*claims)) == [False, True]
