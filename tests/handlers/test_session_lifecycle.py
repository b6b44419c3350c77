"""A session's status, read and reported by workers."""

import asyncio
import time
from datetime import datetime

import pytest

from domain.session_states import NEXT


async def report(worker, session_id, status, **more):
    return await worker.client.post(
        f"/api/sessions/{session_id}/status",
        json={"workerId": worker.id, "status": status, **more},
    )


async def put_into(make, worker, status):
    """A session of this worker in the status, without the reports that lead there."""
    session_id = await make.claimed(worker)
    slot = None if status in {"completed", "failed", "stopped"} else worker.id
    await make.owner.execute(
        "update sessions set status = %s, slot_worker_id = %s where org_id = %s and id = %s",
        (status, slot, make.org_id, session_id),
    )
    return session_id


async def test_the_state_is_read_bare(make):
    worker = await make.worker()
    session_id = await make.claimed(worker, project_name="billing")

    answer = await worker.client.get(f"/api/sessions/{session_id}/status")

    state = answer.json()
    assert state["linearSessionId"] == state["trackerSessionId"] == session_id
    assert (state["status"], state["workerId"]) == ("claimed", worker.id)
    assert state["providerSessionId"] is None
    assert state["worktreePath"] == ""


async def test_failure_13_every_instant_is_in_milliseconds_of_now(make):
    """clients.md 13: seconds taken for milliseconds made a session of the year 58860."""
    worker = await make.worker()
    session_id = await make.session()
    begun = time.time() * 1000 - 60_000

    (work,) = (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()["work"]
    state = (await worker.client.get(f"/api/sessions/{session_id}/status")).json()
    beat = await worker.client.post(f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 1})
    listed = (await make.org.get("/api/public/sessions")).json()["sessions"]

    instants = [state[name] for name in ("createdAt", "updatedAt", "queuedAt", "claimedAt")]
    texts = [beat.json()["serverTime"], listed[0]["startedAt"]]
    instants += [datetime.fromisoformat(text).timestamp() * 1000 for text in texts]
    assert all(begun < each < begun + 120_000 for each in [*instants, work["queuedAt"]])


async def test_a_constant_key_reads_the_sessions_of_its_project(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    elsewhere = await make.session(project_id=await make.project())
    caller = make.client(make.worker_key)

    found = await caller.get(f"/api/sessions/{session_id}/status")
    hidden = await caller.get(f"/api/sessions/{elsewhere}/status")
    unknown = await caller.get("/api/sessions/nowhere/status")

    assert found.status_code == 200
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json() == unknown.json() == {"error": "Session not found"}


async def test_the_usual_path_ends_completed_with_its_cost(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    await report(worker, session_id, "running", providerSessionId="prov-1", worktreePath="/wt/1")
    await report(worker, session_id, "finalizing")
    done = await report(
        worker, session_id, "completed", totalCostUsd=1.37, inputTokens=48211, outputTokens=9120
    )

    state = done.json()["session"]
    assert done.json()["updated"] is True
    assert state["status"] == "completed"
    assert (state["totalCostUsd"], state["inputTokens"], state["outputTokens"]) == (
        1.37,
        48211,
        9120,
    )
    assert (state["providerSessionId"], state["worktreePath"]) == ("prov-1", "/wt/1")
    assert (await make.stored(session_id)).slot_worker_id is None
    assert [kind for kind, _ in await audit_log()][-3:] == [
        "session.running",
        "session.finalizing",
        "session.completed",
    ]


STATUSES = ("claimed", "running", "finalizing", "completed", "failed", "stopped")
REPORTS = ("running", "finalizing", "completed", "failed", "stopped")


@pytest.mark.parametrize("present", STATUSES)
@pytest.mark.parametrize("reported", REPORTS)
async def test_every_step_is_as_the_states_say(make, present, reported):
    worker = await make.worker()
    session_id = await put_into(make, worker, present)

    answer = await report(worker, session_id, reported)

    stored = await make.stored(session_id)
    if reported in NEXT.get(present, ()):
        assert (answer.status_code, stored.status) == (200, reported)
    elif reported == present or (present == "stopped" and reported != "running"):
        assert (answer.status_code, stored.status) == (200, present)
    else:
        assert (answer.status_code, stored.status) == (409, present)
        assert present in answer.json()["error"]


@pytest.mark.parametrize("end", ["completed", "failed", "stopped"])
async def test_failure_6_no_report_reopens_an_ended_session(make, audit_log, end):
    """clients.md 6: there was no state machine; `running` after `completed` reopened a session."""
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    await report(worker, session_id, end)

    late = await report(worker, session_id, "running")
    stored = await make.stored(session_id)
    offered = await other.client.get(f"/api/workers/{other.id}/poll")

    assert (late.status_code, stored.status, stored.slot_worker_id) == (409, end, None)
    assert offered.json()["work"] == []
    assert len(await audit_log(of="session.running")) == 1


@pytest.mark.parametrize("status", ["pending", "claimed", "done", "", None])
async def test_a_status_that_is_not_the_workers_to_set_is_400(make, status):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await report(worker, session_id, status)

    assert answer.status_code == 400
    assert "status" in answer.json()["error"]


async def test_a_repeated_end_is_one_end(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")

    answers = await asyncio.gather(
        *(report(worker, session_id, "completed", totalCostUsd=2) for _ in range(8))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert await audit_log(of="session.completed") == [("session.completed", session_id)]


async def test_a_late_running_never_overwrites_the_real_provider_session(make):
    """The open-source worker sends `running` twice, unordered; one has the session's own id."""
    worker = await make.worker()
    session_id = await make.claimed(worker)

    await report(worker, session_id, "running", providerSessionId="prov-real")
    late = await report(worker, session_id, "running", providerSessionId=session_id)
    next_real = await report(worker, session_id, "running", providerSessionId="prov-next")

    assert late.json()["session"]["providerSessionId"] == "prov-real"
    assert next_real.json()["session"]["providerSessionId"] == "prov-next"


@pytest.mark.parametrize("reported", ["finalizing", "completed", "failed", "stopped"])
async def test_failure_5_a_report_after_a_stop_frees_the_slot_and_keeps_the_cost(make, reported):
    """clients.md 5: a stopped session stayed `finalizing`, and its slot stayed taken."""
    worker = await make.worker(capacity=1)
    session_id = await make.claimed(worker)
    await make.owner.execute(
        "update sessions set status = 'stopped' where org_id = %s and id = %s",
        (make.org_id, session_id),
    )
    waiting = await make.session()

    full = await worker.client.get(f"/api/workers/{worker.id}/poll")
    after = await report(worker, session_id, reported, totalCostUsd=0.5)
    freed = await worker.client.get(f"/api/workers/{worker.id}/poll")

    assert full.json()["work"] == []
    assert after.json()["session"]["status"] == "stopped"
    assert after.json()["session"]["totalCostUsd"] == 0.5
    assert freed.json()["claimedSessionIds"] == [waiting]


async def test_a_failure_keeps_its_reason(make):
    worker = await make.worker()
    first, second = await make.claimed(worker), await make.claimed(worker)

    told = await report(worker, first, "failed", error={"message": "tests do not pass"})
    silent = await report(worker, second, "failed")

    assert told.json()["session"]["failureReason"] == "tests do not pass"
    assert silent.json()["session"]["failureReason"]


async def test_another_workers_session_is_403_in_the_clients_words(make):
    """The open-source worker looks for `owned by another worker` and falls silent for good."""
    owner, other = await make.worker(), await make.worker()
    session_id = await make.claimed(owner)

    status = await report(other, session_id, "running")
    activity = await other.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": other.id, "activity": {"type": "thought", "content": "mine?"}},
    )
    completion = await other.client.post(
        f"/api/sessions/{session_id}/completion", json={"summary": "mine?"}
    )

    for answer in (status, activity, completion):
        assert answer.status_code == 403
        assert "owned by another worker" in answer.json()["error"]


async def test_failure_14_the_worker_id_in_a_body_proves_nothing(make):
    """clients.md 14: reads went unchecked, and the worker id was taken from the body.

    It fails when neither the token's worker nor the worker's registration is looked at.
    """
    owner, other = await make.worker(), await make.worker()
    session_id = await make.claimed(owner)

    answer = await other.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": owner.id, "status": "running"}
    )

    assert answer.status_code == 403
    assert (await make.stored(session_id)).status == "claimed"


async def test_a_session_nobody_claimed_passes_no_ownership_check(make):
    worker = await make.worker()
    session_id = await make.session()

    answer = await report(worker, session_id, "running")

    assert answer.status_code == 403


async def test_a_lease_epoch_that_is_over_is_refused(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    stale = await report(worker, session_id, "running", leaseEpoch=0)
    right = await report(worker, session_id, "running", leaseEpoch=1)

    assert stale.status_code == 403
    assert right.status_code == 200


async def test_another_project_and_an_unknown_session_are_not_found(make):
    worker = await make.worker()
    elsewhere = await make.session(project_id=await make.project())

    hidden = await report(worker, elsewhere, "running")
    unknown = await report(worker, "nowhere", "running")

    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json() == unknown.json()


async def test_a_revoked_registration_reads_and_writes_nothing_more(make):
    key = await make.key_answer(projects=[make.project_id])
    worker = await make.worker(key=key["fullKey"])
    session_id = await make.claimed(worker)
    by_key = make.client(key["fullKey"])
    await by_key.get(f"/api/sessions/{session_id}/status")

    await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")

    for caller in (worker.client, by_key):
        read = await caller.get(f"/api/sessions/{session_id}/status")
        write = await caller.post(
            f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "running"}
        )
        activity = await caller.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": "thought", "content": "x"}},
        )
        poll = await caller.get(f"/api/workers/{worker.id}/poll")
        beat = await caller.post(f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 0})
        assert {a.status_code for a in (read, write, activity, poll, beat)} == {401}


async def test_failure_10_reports_at_once_overwrite_nothing_of_each_other(make):
    """clients.md 10: whole records were read, changed and written, so the last writer won.

    It fails when reports do not hold the row and write back what they have read.
    """
    worker = await make.worker()
    session_id = await make.claimed(worker)
    urls = [{"label": "PR", "url": "https://github.com/acme/billing/pull/7"}]

    async def post(what, **body):
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/{what}", json={"workerId": worker.id, **body}
        )
        assert answer.status_code == 200, answer.text

    await asyncio.gather(
        post("status", status="running", providerSessionId="prov-1", worktreePath="/w/eng-1"),
        post("external-urls", externalUrls=urls),
        *(
            post("activity", activity={"type": "action", "content": "x", "toolName": "Bash"})
            for _ in range(12)
        ),
    )

    row = await make.stored(session_id)
    assert (row.status, row.provider_session_id, row.worktree_path) == (
        "running",
        "prov-1",
        "/w/eng-1",
    )
    assert (row.external_urls, row.activity_count, row.tool_call_count) == (urls, 12, 12)
