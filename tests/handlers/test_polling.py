"""Workers ask for work."""

import asyncio

import psycopg


async def poll(worker):
    answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_poll_hands_out_the_most_urgent_session_and_records_it(make, audit_log):
    worker = await make.worker(capacity=1)
    await make.session(priority=3)
    urgent = await make.session(priority=1)

    said = await poll(worker)

    assert said["claimedSessionIds"] == [urgent]
    assert said["preClaimed"] is True
    assert await audit_log(of="session.claimed") == [("session.claimed", urgent)]


async def test_among_equals_the_oldest_goes_first(make):
    worker = await make.worker(capacity=2)
    newer = await make.session(queued_at="2026-01-02T00:00:00Z")
    older = await make.session(queued_at="2026-01-01T00:00:00Z")

    said = await poll(worker)

    assert said["claimedSessionIds"] == [older, newer]


async def test_an_empty_poll_is_the_normal_answer(make, audit_log):
    worker = await make.worker()
    await make.session(project_id=await make.project())

    said = await poll(worker)

    assert said == {
        "work": [],
        "inboxMessages": {},
        "hasInboxMessages": False,
        "preClaimed": False,
        "claimedSessionIds": [],
        "gitCredentials": [],
    }
    assert await audit_log(of="session.claimed") == []


async def test_delivered_work_carries_what_came_with_it_and_integer_times(make):
    """The donmai client decodes `queuedAt` as an integer; a string breaks its whole poll."""
    worker = await make.worker()
    session_id = await make.session(
        work='{"title": "Refunds", "unheardOf": {"kept": true}}',
        project_name="billing",
        queued_at="2026-06-03T08:15:00.123Z",
    )

    (work,) = (await poll(worker))["work"]

    assert work["sessionId"] == session_id
    assert work["queuedAt"] == 1780474500123
    assert work["unheardOf"] == {"kept": True}
    assert (work["projectName"], work["organizationId"]) == ("billing", make.org_id)
    assert work["leaseEpoch"] == 1


async def test_at_most_five_go_out_and_never_more_than_there_is_room_for(make):
    roomy, tight = await make.worker(capacity=50), await make.worker(capacity=2)
    for _ in range(9):
        await make.session()

    many, few, none = await poll(roomy), await poll(tight), await poll(tight)

    assert len(many["work"]) == 5
    assert len(few["work"]) == 2
    assert none["work"] == []


async def test_twenty_polls_at_once_by_one_worker_stay_within_its_capacity(make):
    worker = await make.worker(capacity=7)
    for _ in range(20):
        await make.session()

    said = await asyncio.gather(*(poll(worker) for _ in range(20)))

    claimed = [session_id for each in said for session_id in each["claimedSessionIds"]]
    assert len(claimed) == len(set(claimed)) == 7


async def test_a_capacity_of_zero_takes_nothing_and_of_a_million_five(make):
    worker = await make.worker(capacity=1_000_000)
    for _ in range(6):
        await make.session()
    heartbeat = f"/api/workers/{worker.id}/heartbeat"

    await worker.client.post(heartbeat, json={"activeCount": 0, "maxSessions": 0})
    closed = await poll(worker)
    await worker.client.post(heartbeat, json={"activeCount": 0, "maxSessions": 1_000_000})
    opened = await poll(worker)
    too_much = await worker.client.post(heartbeat, json={"activeCount": 0, "maxSessions": 10**12})

    assert closed["work"] == []
    assert len(opened["work"]) == 5
    assert too_much.status_code == 400


async def test_a_draining_worker_gets_no_work_until_it_is_idle_again(make):
    worker = await make.worker()
    session_id = await make.session()
    heartbeat = f"/api/workers/{worker.id}/heartbeat"

    await worker.client.post(heartbeat, json={"activeCount": 0, "status": "draining"})
    draining = await poll(worker)
    await worker.client.post(heartbeat, json={"activeCount": 0})
    still = await poll(worker)
    await worker.client.post(heartbeat, json={"activeCount": 0, "status": "idle"})
    idle = await poll(worker)

    assert draining["work"] == still["work"] == []
    assert idle["claimedSessionIds"] == [session_id]


async def test_failure_8_a_project_filter_does_not_starve_behind_others(make):
    """clients.md 8: a worker with a filter starved behind thirty items of another project."""
    for _ in range(30):
        await make.session(project_name="others", priority=1)
    mine = await make.session(project_name="billing", priority=3)
    worker = await make.worker(projects=["billing"])

    said = await poll(worker)

    assert said["claimedSessionIds"] == [mine]


async def test_failure_2_two_workers_never_get_one_session(make):
    """clients.md 2: claim raced with poll and handed one session to two workers."""
    workers = [await make.worker(capacity=5) for _ in range(6)]
    waiting = {await make.session() for _ in range(20)}

    said = await asyncio.gather(*(poll(worker) for worker in workers))

    claimed = [session_id for each in said for session_id in each["claimedSessionIds"]]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == waiting


async def test_another_project_and_another_organization_are_out_of_reach(make):
    elsewhere = await make.project()
    await make.session(project_id=elsewhere)
    worker = await make.worker()

    said = await poll(worker)

    assert said["work"] == []


async def test_a_waiting_poll_answers_as_soon_as_there_is_work(make):
    worker = await make.worker()

    async def wait():
        answer = await worker.client.get(
            f"/api/workers/{worker.id}/poll", params={"waitSeconds": 10}
        )
        return answer.json()["claimedSessionIds"]

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.6)
    session_id = await make.session()
    begun = asyncio.get_running_loop().time()
    claimed = await waiting

    assert claimed == [session_id]
    assert asyncio.get_running_loop().time() - begun < 3


async def test_a_nudge_wakes_a_waiting_poll_before_its_timer(make):
    from persistence.ephemeral import nudges

    worker = await make.worker()
    took = []
    for _ in range(3):
        waiting = asyncio.create_task(
            worker.client.get(f"/api/workers/{worker.id}/poll", params={"waitSeconds": 10})
        )
        await asyncio.sleep(0.4)
        await make.session()
        begun = asyncio.get_running_loop().time()
        await nudges.try_nudge(nudges.work(make.org_id, make.project_id))
        await waiting
        took.append(asyncio.get_running_loop().time() - begun)

    assert min(took) < 0.3


async def test_a_waiting_poll_ends_empty_when_its_time_is_over(make):
    worker = await make.worker()
    begun = asyncio.get_running_loop().time()

    answer = await worker.client.get(f"/api/workers/{worker.id}/poll", params={"waitSeconds": 1.2})

    assert answer.json()["work"] == []
    assert 1.1 < asyncio.get_running_loop().time() - begun < 4


async def test_a_wait_out_of_bounds_is_400(make):
    worker = await make.worker()

    for wait in ("26", "-1", "soon"):
        answer = await worker.client.get(
            f"/api/workers/{worker.id}/poll", params={"waitSeconds": wait}
        )
        assert answer.status_code == 400, wait


async def test_failure_2_polls_that_meet_at_one_session_give_it_to_one(make, stores):
    """clients.md 2, made certain: both polls come while somebody else holds the session's row.

    It fails when a poll does not hold the rows that it has chosen.
    """
    first, second = await make.worker(), await make.worker()
    session_id = await make.session()

    async def claimed(worker):
        answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
        return answer.json()["claimedSessionIds"]

    async with await psycopg.AsyncConnection.connect(stores.owner_url) as holder:
        await holder.execute(
            "select 1 from sessions where org_id = %s and id = %s for update",
            (make.org_id, session_id),
        )
        polls = [asyncio.create_task(claimed(worker)) for worker in (first, second)]
        await asyncio.wait(polls, timeout=0.3)
        await holder.rollback()
    given = [*await asyncio.gather(*polls), await claimed(first), await claimed(second)]

    assert sorted(given) == [[], [], [], [session_id]]
