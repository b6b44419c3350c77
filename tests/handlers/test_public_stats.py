"""The fleet in numbers, and what they cost to read."""

import asyncio
import os
import time

import pytest

from jobs.fold_counts import fold_counts
from persistence import public_stats
from tests import costs

URL = "/api/public/stats"
NUMBERS = (
    "workersOnline",
    "agentsWorking",
    "queueDepth",
    "completedToday",
    "availableCapacity",
    "totalCostToday",
    "totalCostAllTime",
    "sessionCountToday",
)
SHARE = float(os.environ.get("PROVE_SHARE", "1"))


async def stats(caller, **headers):
    answer = await caller.get(URL, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def numbers(caller, **headers):
    said = await stats(caller, **headers)
    return tuple(said[name] for name in NUMBERS)


async def counted_anew(make):
    """Today's sessions, today's completed, today's cost and all cost, from the rows themselves."""
    rows = await make.owner.execute(
        "select count(*) filter (where updated_at >= today) as a,"
        " count(*) filter (where status = 'completed' and finished_at >= today) as b,"
        " coalesce(sum(total_cost_usd) filter (where updated_at >= today), 0) as c,"
        " coalesce(sum(total_cost_usd), 0) as d"
        " from sessions, (select date_trunc('day', now(), 'utc') as today) t where org_id = %s",
        (make.org_id,),
    )
    row = await rows.fetchone()
    return row.a, row.b, round(row.c, 4), round(row.d, 4)


async def counted(make):
    said = await stats(make.org)
    return (
        said["sessionCountToday"],
        said["completedToday"],
        said["totalCostToday"],
        said["totalCostAllTime"],
    )


async def report(worker, session_id, status, **more):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status",
        json={"workerId": worker.id, "status": status, **more},
    )
    assert answer.status_code == 200, answer.text


# --- the numbers ---


async def test_an_empty_organization_is_all_zeros(make):
    said = await stats(make.org)

    assert set(said) == {*NUMBERS, "timestamp"}
    assert {said[name] for name in NUMBERS} == {0}


async def test_the_numbers_follow_sessions_through_their_day(make):
    worker = await make.worker(capacity=5)
    first = await make.claimed(worker)
    second = await make.claimed(worker)
    await make.session()
    await report(worker, first, "running")
    before = await numbers(make.org)

    await report(worker, first, "completed", totalCostUsd=1.23456)
    await report(worker, second, "failed", totalCostUsd=0.5)

    assert before == (1, 2, 1, 0, 3, 0, 0, 3)
    assert await numbers(make.org) == (1, 0, 1, 1, 5, 1.7346, 1.7346, 3)


async def test_parked_sessions_do_not_wait_in_the_queue(make):
    await make.session()
    await make.session(waits_for="issue")

    assert (await stats(make.org))["queueDepth"] == 1


async def test_only_living_workers_that_take_work_have_room(make):
    await make.worker(capacity=4)
    silent = await make.worker(capacity=4)
    ancient = await make.worker(capacity=4)
    draining = await make.worker(capacity=4)
    await draining.client.post(
        f"/api/workers/{draining.id}/heartbeat", json={"activeCount": 0, "status": "draining"}
    )
    for worker, age in ((silent, "2 minutes"), (ancient, "40 days")):
        await make.owner.execute(
            "update workers set last_heartbeat_at = now() - %s::interval where id = %s",
            (age, worker.id),
        )
    gone = await make.key_answer(projects=[make.project_id])
    await make.worker(key=gone["fullKey"], capacity=4)
    await make.org.delete(f"/api/org/{make.org_id}/keys/{gone['id']}")

    said = await stats(make.org)

    assert (said["workersOnline"], said["availableCapacity"]) == (2, 4)


async def test_a_smaller_capacity_than_is_held_is_no_room_less_than_none(make):
    worker = await make.worker(capacity=2)
    await make.claimed(worker)
    await make.claimed(worker)
    await worker.client.post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 2, "maxSessions": 1}
    )
    await make.worker(capacity=3)

    assert (await stats(make.org))["availableCapacity"] == 3


async def test_yesterday_counts_for_all_time_and_moves_to_today_when_touched(make):
    worker = await make.worker()
    yesterday = "(now() - interval '25 hours')"
    old = await make.claimed(worker)
    await report(worker, old, "completed", totalCostUsd=2)
    await make.owner.execute(
        f"update sessions set updated_at = {yesterday}, finished_at = {yesterday} where id = %s",
        (old,),
    )
    before = await counted(make)

    # A late activity changes the session today; it completed yesterday all the same.
    await worker.client.post(
        f"/api/sessions/{old}/activity",
        json={"workerId": worker.id, "activity": {"type": "thought", "content": "Late"}},
    )

    assert before == (0, 0, 0, 2)
    assert await counted(make) == (1, 0, 2, 2) == await counted_anew(make)


async def test_projects_are_counted_apart(make):
    other = await make.project()
    for project in (make.project_id, other, other):
        key = await make.key(projects=[project])
        worker = await make.worker(key=key, capacity=2)
        session_id = await make.claimed(worker, project_id=project)
        await report(worker, session_id, "completed", totalCostUsd=1)
    for project in (make.project_id, other, other):
        await make.session(project)
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))

    here, there = (1, 0, 1, 1, 2, 1, 1, 2), (2, 0, 2, 2, 4, 2, 2, 4)
    assert await numbers(narrow) == here
    assert await numbers(make.org, **{"X-Rensei-Project": make.project_id}) == here
    assert await numbers(make.org, **{"X-Rensei-Project": other}) == there
    assert await numbers(make.org, **{"X-Rensei-Org": make.slug}) == (3, 0, 3, 3, 6, 3, 3, 6)
    assert (await narrow.get(URL, headers={"X-Rensei-Project": other})).status_code == 404
    assert (await make.org.get(URL, headers={"X-Rensei-Org": "another"})).status_code == 404


async def test_a_worker_and_nobody_read_no_statistics(make, anonymous):
    worker = await make.worker()

    assert (await worker.client.get(URL)).status_code == 403
    assert (await anonymous.get(URL)).status_code == 401


# --- the counts ---


async def test_whatever_changes_a_session_the_counts_are_those_of_the_rows(make, run_job):
    worker = await make.worker(capacity=20)
    done = [await make.claimed(worker) for _ in range(6)]
    waiting = [await make.session() for _ in range(4)]
    for number, session_id in enumerate(done):
        await report(worker, session_id, "completed", totalCostUsd=number / 7)
    # What people, jobs and the owner's own hand may do to a row.
    for change in (
        "status = 'pending', finished_at = null",
        "updated_at = now() - interval '3 days', finished_at = now() - interval '3 days'",
        "total_cost_usd = null",
        "total_cost_usd = 99.5, updated_at = now() - interval '1 day'",
    ):
        await make.owner.execute(f"update sessions set {change} where id = %s", (done.pop(),))
        assert await counted(make) == await counted_anew(make)
        await run_job(fold_counts)
        assert await counted(make) == await counted_anew(make)
    await make.owner.execute("delete from sessions where id = %s", (waiting[0],))

    assert await counted(make) == await counted_anew(make)


async def test_an_activity_notes_nothing_after_the_first_of_the_day(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await run_job(fold_counts)

    for number in range(5):
        await worker.client.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": "thought", "content": f"{number}"}},
        )

    noted = await make.owner.execute(
        "select count(*) as n from session_count_changes where org_id = %s", (make.org_id,)
    )
    assert (await noted.fetchone()).n == 0


async def test_readers_see_whole_counts_while_jobs_fold(make, run_job):
    worker = await make.worker(capacity=60)
    ids = [await make.claimed(worker) for _ in range(30)]

    async def fold():
        for _ in range(20):
            await asyncio.gather(run_job(public_stats.fold), run_job(public_stats.fold))

    folding = asyncio.create_task(fold())
    seen = []
    for session_id in ids:
        await report(worker, session_id, "completed", totalCostUsd=1)
        seen.append(await counted(make))
    await folding
    await run_job(fold_counts)

    assert seen == [(30, n, n, n) for n in range(1, 31)]
    assert await counted(make) == (30, 30, 30, 30) == await counted_anew(make)


async def test_heartbeats_and_activities_write_to_no_index(make):
    """Neither index by day nor by what is live may cost the calls that come all the time."""
    worker = await make.worker()
    session_id = await make.claimed(worker)

    async with make.owner.transaction():
        for _ in range(3):
            await make.owner.execute(
                "update workers set last_heartbeat_at = now() + interval '1 ms' where id = %s",
                (worker.id,),
            )
            await make.owner.execute(
                "update sessions set activity_count = activity_count + 1,"
                " updated_at = now() + interval '1 ms' where id = %s",
                (session_id,),
            )
        rows = await make.owner.execute(
            "select relname, n_tup_upd - n_tup_hot_upd as cold from pg_stat_xact_user_tables"
            " where relname in ('workers', 'sessions')"
        )
        cold = {row.relname: row.cold for row in await rows.fetchall()}

    # A page that is full moves a row once; an index on what changes would make all three cold.
    assert set(cold) == {"workers", "sessions"}
    assert max(cold.values()) < 3


# --- the cost ---


async def explained(make, projects=None):
    return await costs.explained(
        make.owner, public_stats.STATS, {"org": make.org_id, "projects": projects, "lease": 50}
    )


async def fill(make, run_job, count, activities):
    """`count` completed sessions, with ten activities each where they are wanted."""
    await costs.completed_sessions(make, count, activities=10 if activities else 0)
    await run_job(fold_counts)
    await costs.vacuum(
        make, "sessions", "activities", "session_counts", "session_count_changes", "workers"
    )


async def timed(make):
    await stats(make.org)
    spent = []
    for _ in range(30):
        began = time.perf_counter()
        await stats(make.org)
        spent.append(time.perf_counter() - began)
    return sorted(spent)[len(spent) // 2]


async def assert_flat(make, run_job, many, activities):
    worker = await make.worker(capacity=4)
    for _ in range(2):
        await make.claimed(worker)
    for _ in range(3):
        await make.session()
    await fill(make, run_job, 1000, activities)
    _, few_pages = await explained(make)
    few_seconds = await timed(make)
    await costs.forget_completed(make)

    await fill(make, run_job, many, activities)
    for projects in (None, [make.project_id]):
        plan, pages = await explained(make, projects)
        assert costs.scanned(plan).isdisjoint({"sessions", "activities"})
        assert pages <= few_pages + 40, (few_pages, pages)
    many_seconds = await timed(make)
    print(f"\n1,000: {few_seconds * 1e3:.2f} ms, {few_pages} pages")
    print(f"{many}: {many_seconds * 1e3:.2f} ms, {pages} pages")
    assert await numbers(make.org) == (
        1, 2, 3, many, 2, round(many / 100, 4), round(many / 100, 4), many + 5,
    )  # fmt: skip
    return few_seconds, many_seconds


async def test_failure_11_statistics_do_not_read_the_past(make, run_job):
    """clients.md 11: list and statistics read every session one by one."""
    await assert_flat(make, run_job, 20_000, activities=False)


@pytest.mark.prove
async def test_a_hundred_thousand_sessions_cost_what_a_thousand_do(make, run_job):
    few, many = await assert_flat(make, run_job, int(100_000 * SHARE), activities=True)

    assert many < 2 * few + 0.005
