"""Batch jobs: queued, handed out in lanes of their own, reported on once, and never lost."""

import asyncio

import pytest

from jobs.end_batch_leases import end_batch_leases
from persistence import database
from tests.contract.world import claims_of

SCAN = {
    "workType": "code-survival-scan",
    "attributionId": "att_1",
    "checkpoint": 30,
    "prRepo": "acme/billing",
    "prNumber": 41,
    "mergeSha": "4f1c9e0b7a2d",
    "needs": {"needsGo": True, "needsNode": False},
}
LANES = {
    "code-survival-scan": "batchWork",
    "kg-extraction": "kgExtractWork",
    "landing": "landingWork",
}
RESULT = {"contractVersion": 1, "status": "ok", "survival": {"linesSurviving": 96}}
LEASE = 50


@pytest.fixture(autouse=True)
async def long_alive(owner, application):
    """The service has been able to store heartbeats for longer than a lease."""
    await owner.execute(
        "insert into service_pulse (one) values (true) on conflict (one) do update set"
        " last_pulse_at = now()"
    )
    await owner.execute("update service_pulse set alive_since = now() - interval '1 hour'")
    # The job ends a hundred claims at a time, and earlier tests have left more.
    await owner.execute("update batch_jobs set status = 'failed' where status = 'claimed'")


async def enqueue(make, key=None, **body):
    answer = await make.org.post(
        "/api/batch-jobs",
        json={**SCAN, "projectId": make.project_id, **body},
        headers={"Idempotency-Key": key} if key else {},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["batchJob"]["id"]


async def scanner(make, **body):
    return await make.worker(capabilities=["code-survival-scan"], **body)


async def poll(worker, query=""):
    answer = await worker.client.get(f"/api/workers/{worker.id}/poll{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def scans(worker):
    return (await poll(worker))["batchWork"]


async def stored(make, job_id):
    answer = await make.org.get(f"/api/batch-jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["batchJob"]


async def post(make, item, result=None):
    path = item["resultEndpoint"].partition("/api/")[2]
    caller = make.client(item["resultAuth"])
    return await caller.post(f"/api/{path}", json=RESULT if result is None else result)


async def silence(make, worker, seconds=LEASE + 5):
    """Let this much time pass without a heartbeat of the worker."""
    await make.owner.execute(
        "update workers set last_heartbeat_at = last_heartbeat_at - make_interval(secs => %s)"
        " where id = %s",
        (seconds, worker.id),
    )
    await make.owner.execute(
        "update batch_jobs set claimed_at = claimed_at - make_interval(secs => %s)"
        " where worker_id = %s",
        (seconds, worker.id),
    )


# --- the lanes ---


@pytest.mark.parametrize("lane", LANES)
async def test_a_job_comes_with_the_poll_of_a_worker_that_advertises_its_lane(make, lane):
    worker = await make.worker(capabilities=["local", lane])
    given = SCAN if lane == "code-survival-scan" else {"observations": [{"id": "o1"}]}
    made = await make.org.post(
        "/api/batch-jobs",
        json={**given, "workType": lane, "projectId": make.project_id, "contractVersion": 2},
    )

    said = await poll(worker)

    assert made.status_code == 201, made.text
    (item,) = said[LANES[lane]]
    assert {name: item[name] for name in given} == given | (
        {"workType": lane} if "workType" in given else {}
    )
    assert item["batchJobId"] == made.json()["batchJob"]["id"]
    assert (item["workType"], item["contractVersion"]) == (lane, 2)
    assert (item["orgId"], item["projectId"]) == (make.org_id, make.project_id)
    assert not set(LANES.values()) - {LANES[lane]} & set(said)
    assert (said["work"], said["preClaimed"], said["claimedSessionIds"]) == ([], False, [])


async def test_a_scan_carries_all_that_its_worker_reads(make):
    """The donmai worker compares `org_id` of the bearer with the item, and clones by the URL."""
    worker = await scanner(make)
    await enqueue(make)

    (item,) = await scans(worker)

    assert {name: item[name] for name in SCAN} == SCAN
    assert item["contractVersion"] == 1
    assert item["gitCredential"]["cloneUrl"] == "https://github.com/acme/billing.git"
    claims = claims_of(item["resultAuth"])
    assert (claims["org_id"], claims["project_id"]) == (make.org_id, make.project_id)
    assert claims["aud"] == "rensei-batch"
    assert item["resultEndpoint"].startswith("http://")


async def test_who_does_not_advertise_a_lane_hears_nothing_of_it(make):
    silent, other = await make.worker(), await make.worker(capabilities=["landing"])
    await enqueue(make)

    assert not set(LANES.values()) & set(await poll(silent))
    assert (await poll(other))["landingWork"] == []


async def test_a_lane_without_work_is_an_empty_list(make):
    assert await scans(await scanner(make)) == []


async def test_another_projects_job_and_a_draining_worker_do_not_meet(make):
    draining, worker = await scanner(make), await scanner(make)
    await enqueue(make, projectId=await make.project())
    await make.batch_job()
    await draining.client.post(
        f"/api/workers/{draining.id}/heartbeat", json={"activeCount": 0, "status": "draining"}
    )

    assert await scans(draining) == []
    assert len(await scans(worker)) == 1
    assert await scans(worker) == []


async def test_jobs_go_out_oldest_first_one_a_poll_and_two_at_a_time(make):
    worker = await scanner(make)
    jobs = [await enqueue(make) for _ in range(3)]

    given = [await scans(worker) for _ in range(3)]
    await post(make, given[0][0])
    after = await scans(worker)

    assert [[item["batchJobId"] for item in each] for each in given] == [[jobs[0]], [jobs[1]], []]
    assert [item["batchJobId"] for item in after] == [jobs[2]]


async def test_a_job_takes_up_no_capacity_and_is_no_session(make):
    worker = await scanner(make, capacity=1)
    await enqueue(make)
    session_id = await make.session()

    said = await poll(worker)
    record = await worker.client.get(f"/api/workers/{worker.id}")
    listed = await make.org.get("/api/public/sessions")

    assert len(said["batchWork"]) == 1
    assert said["claimedSessionIds"] == [session_id]
    assert session_id in record.text
    assert said["batchWork"][0]["batchJobId"] not in record.text
    assert len(listed.json()["sessions"]) == 1


async def test_a_poll_that_waits_is_woken_by_a_job(make):
    worker = await scanner(make)
    waiting = asyncio.create_task(poll(worker, "?waitSeconds=10"))
    await asyncio.sleep(0.1)

    async with asyncio.timeout(5):
        job_id = await enqueue(make)
        said = await waiting

    assert [item["batchJobId"] for item in said["batchWork"]] == [job_id]


async def test_eight_workers_at_once_never_share_a_job(make):
    workers = [await scanner(make) for _ in range(8)]
    jobs = {await make.batch_job() for _ in range(5)}

    said = await asyncio.gather(*(scans(worker) for worker in workers * 3))

    given = [item["batchJobId"] for each in said for item in each]
    assert len(given) == len(set(given)) == 5
    assert set(given) == jobs


# --- the result ---


async def test_a_result_ends_the_job_and_people_read_it(make, audit_log):
    worker = await scanner(make)
    job_id = await enqueue(make)
    (item,) = await scans(worker)
    during = await stored(make, job_id)

    answer = await post(make, item)

    assert answer.json() == {"stored": True, "batchJobId": job_id, "status": "completed"}
    assert (during["status"], during["workerId"], during["result"]) == ("claimed", worker.id, None)
    job = await stored(make, job_id)
    assert (job["status"], job["result"], job["attempts"]) == ("completed", RESULT, 1)
    assert job["item"]["prRepo"] == "acme/billing"
    assert [event for event in await audit_log() if event[1] == job_id] == [
        ("batch_job.queued", job_id),
        ("batch_job.claimed", job_id),
        ("batch_job.completed", job_id),
    ]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"status": "failed"}, "the worker reported a failure"),
        ({"status": "error", "error": "unsupported contract version 9"}, "unsupported contract"),
    ],
)
async def test_a_reported_failure_fails_the_job(make, result, reason):
    worker = await scanner(make)
    job_id = await enqueue(make)
    (item,) = await scans(worker)

    answer = await post(make, item, result)

    assert answer.json()["status"] == "failed"
    assert (await stored(make, job_id))["failureReason"].startswith(reason)
    assert await scans(worker) == []


async def test_a_result_that_is_sent_again_is_stored_once_and_another_one_is_409(make, audit_log):
    worker = await scanner(make)
    await enqueue(make)
    (item,) = await scans(worker)

    answers = await asyncio.gather(*(post(make, item) for _ in range(5)))
    other = await post(make, item, {**RESULT, "status": "partial"})

    assert [answer.status_code for answer in answers] == [200] * 5
    assert other.status_code == 409
    assert len(await audit_log(of="batch_job.completed")) == 1


async def test_a_bearer_is_good_for_its_own_job_only(make):
    worker = await scanner(make)
    first, second = await enqueue(make), await enqueue(make)
    (item,), (other,) = await scans(worker), await scans(worker)

    answer = await post(make, {**item, "resultEndpoint": other["resultEndpoint"]})

    assert answer.status_code == 404
    assert {(await stored(make, each))["status"] for each in (first, second)} == {"claimed"}


# --- nothing is lost, nothing is done twice at the same time ---


async def test_a_silent_workers_job_is_handed_out_again_and_its_late_result_refused(make, run_job):
    worker, other = await scanner(make), await scanner(make)
    job_id = await enqueue(make)
    (item,) = await scans(worker)

    await silence(make, worker, LEASE - 5)
    await run_job(end_batch_leases)
    early = await scans(other)
    await silence(make, worker, 10)
    await run_job(end_batch_leases)
    (again,) = await scans(other)
    late, good = await post(make, item), await post(make, again)

    assert early == []
    assert again["batchJobId"] == job_id
    assert late.status_code == 409
    assert late.json()["error"] == "The batch job was given to another worker"
    assert good.status_code == 200
    assert (await stored(make, job_id))["attempts"] == 2


async def test_a_late_result_counts_while_nobody_else_has_the_job(make, run_job):
    worker, other = await scanner(make), await scanner(make)
    job_id = await enqueue(make)
    (item,) = await scans(worker)
    await silence(make, worker)
    await run_job(end_batch_leases)
    waiting = await stored(make, job_id)

    answer = await post(make, item)

    assert waiting["status"] == "waiting"
    assert answer.status_code == 200
    assert await scans(other) == []


async def test_a_claim_ends_with_its_time_though_its_worker_lives(make, run_job):
    worker, other = await scanner(make), await scanner(make)
    job_id = await enqueue(make, maxDurationSeconds=60)
    await scans(worker)
    await make.owner.execute(
        "update batch_jobs set lease_ends_at = lease_ends_at - interval '59 seconds' where id = %s",
        (job_id,),
    )
    await run_job(end_batch_leases)
    early = await scans(other)

    await make.owner.execute(
        "update batch_jobs set lease_ends_at = now() - interval '1 second' where id = %s", (job_id,)
    )
    await run_job(end_batch_leases)

    assert early == []
    assert [item["batchJobId"] for item in await scans(other)] == [job_id]


async def test_no_claim_ends_while_heartbeats_could_not_be_stored(make, run_job, owner):
    worker, other = await scanner(make), await scanner(make)
    await enqueue(make)
    await scans(worker)
    await silence(make, worker)
    await owner.execute("update service_pulse set alive_since = now() - interval '10 seconds'")

    await run_job(end_batch_leases)

    assert await scans(other) == []


async def test_a_worker_that_leaves_gives_its_jobs_back_and_may_still_report(make, run_job):
    worker, other = await scanner(make), await scanner(make)
    first, second = await enqueue(make), await enqueue(make)
    (finished,), _ = await scans(worker), await scans(worker)
    await worker.client.delete(f"/api/workers/{worker.id}")

    reported = await post(make, finished)
    await run_job(end_batch_leases)

    assert reported.status_code == 200
    assert [item["batchJobId"] for item in await scans(other)] == [second]
    assert (await stored(make, first))["status"] == "completed"


async def test_a_job_that_is_lost_five_times_has_failed(make, run_job, audit_log):
    worker = await scanner(make)
    job_id = await enqueue(make)
    for _ in range(5):
        assert len(await scans(worker)) == 1
        await make.owner.execute(
            "update batch_jobs set lease_ends_at = now() - interval '1 second' where id = %s",
            (job_id,),
        )
        await run_job(end_batch_leases)

    job = await stored(make, job_id)

    assert (job["status"], job["failureReason"]) == ("failed", "no result came of 5 attempts")
    assert await scans(worker) == []
    assert len(await audit_log(of="batch_job.lease_ended")) == 4
    assert len(await audit_log(of="batch_job.failed")) == 1


# --- asking and reading ---


async def test_a_repeat_under_the_same_key_makes_no_second_job(make):
    assert await enqueue(make, "key-1") == await enqueue(make, "key-1")

    listed = await make.org.get("/api/batch-jobs")
    assert len(listed.json()["batchJobs"]) == 1


async def test_an_id_of_the_callers_own_is_taken_once(make):
    await enqueue(make, batchJobId="batch:due_checkpoint:42")

    again = await make.org.post(
        "/api/batch-jobs",
        json={**SCAN, "projectId": make.project_id, "batchJobId": "batch:due_checkpoint:42"},
    )

    assert again.status_code == 409


async def test_the_list_is_newest_first_in_pages_and_by_state(make):
    worker = await scanner(make)
    jobs = [await enqueue(make) for _ in range(3)]
    await scans(worker)

    first = (await make.org.get("/api/batch-jobs?limit=2")).json()
    rest = (await make.org.get(f"/api/batch-jobs?limit=2&cursor={first['nextCursor']}")).json()
    claimed = (await make.org.get("/api/batch-jobs?status=claimed")).json()

    pages = [[job["id"] for job in page["batchJobs"]] for page in (first, rest, claimed)]
    assert pages == [jobs[:0:-1], [jobs[0]], [jobs[0]]]
    assert rest["nextCursor"] is None


async def test_what_came_with_a_job_may_not_speak_for_the_server(make):
    worker = await scanner(make)
    await enqueue(make, orgId="org_other", resultAuth="mine", gitCredential={"token": "secret"})

    (item,) = await scans(worker)

    assert item["orgId"] == make.org_id
    assert item["resultAuth"] != "mine"
    assert "secret" not in str(await stored(make, item["batchJobId"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workType": "development"}, "body.workType"),
        ({"mergeSha": "HEAD"}, "body.mergeSha"),
        ({"prRepo": "billing"}, "body.prRepo"),
        ({"prNumber": 0}, "body.prNumber"),
        ({"maxDurationSeconds": 1}, "body.maxDurationSeconds"),
    ],
)
async def test_a_job_that_does_not_fit_its_lane_is_400(make, change, words):
    answer = await make.org.post(
        "/api/batch-jobs", json={**SCAN, "projectId": make.project_id, **change}
    )

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]


async def test_a_poll_asks_once_while_no_lane_holds_anything_for_it(make, monkeypatch):
    worker, other = await scanner(make), await make.worker()
    asked = []
    hot = database.hot
    monkeypatch.setattr(database, "hot", lambda sql, values: asked.append(sql) or hot(sql, values))

    await poll(worker)
    empty = len(asked)
    await make.batch_job()
    await poll(other)
    not_served = len(asked) - empty
    await poll(worker)

    assert (empty, not_served, len(asked)) == (1, 1, 4)


async def test_another_job_under_the_same_key_is_422(make):
    await enqueue(make, "key-1")

    answer = await make.org.post(
        "/api/batch-jobs",
        json={**SCAN, "projectId": make.project_id, "priority": 1},
        headers={"Idempotency-Key": "key-1"},
    )

    assert answer.status_code == 422
    assert answer.json()["error"] == "The Idempotency-Key was used for another request"
