"""What an interrupted session leaves behind, and how it reaches the next worker."""

import asyncio
import hashlib
import json

import pytest

from domain.recovery_packets import MOST_TEXT_CHARACTERS
from jobs.requeue_orphans import requeue_orphans

LEASE = 50


@pytest.fixture(autouse=True)
async def long_alive(owner, application):
    """The service has been able to store heartbeats for longer than a lease."""
    await owner.execute(
        "insert into service_pulse (one, alive_since) values (true, now() - interval '1 hour')"
        " on conflict (one) do update"
        " set alive_since = now() - interval '1 hour', last_pulse_at = now()"
    )


async def die(make, run_job, worker):
    """Let a worker fall silent for longer than a lease, and let the job notice."""
    for table, column, key in (
        ("workers", "last_heartbeat_at", "id"),
        ("workers", "covered_at", "id"),
        ("workers", "peak_since", "id"),
        ("sessions", "last_call_at", "slot_worker_id"),
    ):
        await make.owner.execute(
            f"update {table} set {column} = {column} - make_interval(secs => %s)"
            f" where org_id = %s and {key} = %s",
            (LEASE + 5, make.org_id, worker.id),
        )
    await run_job(requeue_orphans)


async def post(worker, session_id, what, **body):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/{what}", json={"workerId": worker.id, **body}
    )
    assert answer.status_code == 200, answer.text


async def act(worker, session_id, content, kind="thought", **more):
    activity = {"type": kind, "content": content, **more}
    await post(worker, session_id, "activity", activity=activity)


async def poll(worker):
    """The work of a poll, by session."""
    answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
    return {work["sessionId"]: work for work in answer.json()["work"]}


async def chain(make, session_id):
    browser = await make.browser()
    answer = await browser.get(f"/api/sessions/{session_id}/recovery-chain")
    assert answer.status_code == 200, answer.text
    return answer.json()["packets"]


async def newest(make, session_id, **query):
    browser = await make.browser()
    return await browser.get(f"/api/sessions/{session_id}/recovery-packet", params=query)


# --- what a lost worker leaves ---


async def test_the_next_worker_gets_what_the_lost_one_reported(make, run_job):
    lost, fresh = await make.worker(hostname="forge-07"), await make.worker()
    session_id = await make.claimed(
        lost,
        issue_identifier="ENG-204",
        issue_title="Keep the currency",
        work='{"promptContext": "<issue/>", "repository": "https://github.com/acme/billing"}',
    )
    await post(lost, session_id, "status", status="running", worktreePath="/srv/wt/eng-204")
    await act(lost, session_id, "The rounding is in money.py")
    await act(
        lost,
        session_id,
        "Ran the tests",
        "action",
        toolName="Bash",
        toolInput={"command": "pytest -q"},
        toolOutput="2 failed",
    )
    await post(lost, session_id, "progress", message="Rounding fixed", milestone="fix")
    await post(lost, session_id, "files/reserve", filePaths=["./src/money.py"])
    await post(lost, session_id, "tool-error", toolName="Edit", errorMessage="no such file")
    url = "https://github.com/acme/billing/pull/318"
    await lost.client.post(
        f"/api/sessions/{session_id}/external-urls",
        json={"externalUrls": [{"label": "Pull request", "url": url}]},
    )
    await make.org.post(
        f"/api/public/sessions/{(await make.stored(session_id)).public_id}/prompt",
        json={"prompt": "Cover the refund path too"},
    )

    await die(make, run_job, lost)
    work = (await poll(fresh))[session_id]

    (packet,) = await chain(make, session_id)
    assert work["recoveryPacketId"] == packet["id"]
    assert work["memoryBlock"] == packet["text"]
    for known in (
        "its worker fell silent",
        "ENG-204, Keep the currency",
        "Status when it was interrupted: running",
        "1 of at most 5",
        "/srv/wt/eng-204 on forge-07",
        f"Pull request: {url}",
        "Cover the refund path too",
        "fix: Rounding fixed",
        "Edit: no such file",
        "## Files it had reserved\n- src/money.py",
        "1. thought: The rounding is in money.py",
        '2. action Bash: Ran the tests\n   input: {"command": "pytest -q"}\n   output: 2 failed',
    ):
        assert known in packet["text"], packet["text"]
    data = packet["packetData"]
    assert (data["reason"], data["status"], data["attempts"]) == ("lease_ended", "running", 1)
    assert data["promptContext"] == "<issue/>"
    assert data["files"] == [{"filePath": "src/money.py"}]
    assert data["repository"] == "https://github.com/acme/billing"
    assert [step["seq"] for step in data["activities"]] == [1, 2, 3]
    assert data["crash"]["workerId"] == lost.id
    assert data["crash"]["hostname"] == "forge-07"
    assert data["crash"]["leaseEpoch"] == 1
    assert data["crash"]["lastHeartbeatAt"] < data["crash"]["noticedAt"]


async def test_work_of_a_session_that_was_never_interrupted_has_no_packet(make):
    worker = await make.worker()
    session_id = await make.session(work='{"memoryBlock": "As it came."}')

    work = (await poll(worker))[session_id]

    assert work["memoryBlock"] == "As it came."
    assert "recoveryPacketId" not in work
    assert await chain(make, session_id) == []


async def test_the_packet_stands_behind_the_memory_that_came_with_the_session(make, run_job):
    lost, fresh = await make.worker(), await make.worker()
    session_id = await make.claimed(lost, work='{"memoryBlock": "As it came."}')

    await die(make, run_job, lost)
    work = (await poll(fresh))[session_id]

    assert work["memoryBlock"].startswith("As it came.\n\n# This session was interrupted")


async def test_a_session_that_died_twice_has_a_chain_of_two(make, run_job, audit_log):
    first, second, third = [await make.worker() for _ in range(3)]
    session_id = await make.claimed(first)
    await act(first, session_id, "Begun")
    await die(make, run_job, first)
    assert session_id in await poll(second)
    await act(second, session_id, "Gone on")
    await die(make, run_job, second)

    work = (await poll(third))[session_id]

    newer, older = await chain(make, session_id)
    assert work["recoveryPacketId"] == newer["id"]
    assert newer["recoveryChainId"] == older["recoveryChainId"]
    assert (older["previousPacketId"], newer["previousPacketId"]) == (None, older["id"])
    assert newer["packetData"]["previous"] == {
        "id": older["id"],
        "contentHash": older["contentHash"],
    }
    assert [step["content"] for step in newer["packetData"]["activities"]] == ["Begun", "Gone on"]
    made = await audit_log(of="session.recovery_packet_made")
    assert made == [("session.recovery_packet_made", session_id)] * 2


async def test_the_last_lost_lease_fails_the_session_and_leaves_a_packet_too(make, run_job):
    await make.org.patch(f"/api/org/{make.org_id}/settings", json={"maxAttempts": 2})
    session_id = await make.session()
    for _ in range(2):
        worker = await make.worker()
        assert session_id in await poll(worker)
        await die(make, run_job, worker)

    stored = await make.stored(session_id)
    packets = await chain(make, session_id)

    assert (stored.status, stored.attempts, len(packets)) == ("failed", 2, 2)
    assert packets[0]["packetData"]["attempts"] == 2
    # Whoever is asked to try again goes on from there.
    await make.org.post(f"/api/public/sessions/{stored.public_id}/prompt", json={"prompt": "Again"})
    work = (await poll(await make.worker()))[session_id]
    assert (work["prompt"], work["recoveryPacketId"]) == ("Again", packets[0]["id"])


async def test_the_hash_is_of_the_data_as_anybody_can_write_it(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker, total_cost_usd=2.5, input_tokens=10)
    await act(worker, session_id, "Größe\u2028 “quoted” \U0001f600")
    await die(make, run_job, worker)

    (packet,) = await chain(make, session_id)

    written = json.dumps(
        packet["packetData"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert hashlib.sha256(written.encode()).hexdigest() == packet["contentHash"]
    assert packet["packetData"]["costs"] == {"totalCostUsd": 2.5, "inputTokens": 10}


async def test_however_much_was_reported_the_text_stays_bounded_and_ends_with_the_newest(
    make, run_job
):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    long = "x" * 20_000
    for number in range(40):
        await act(worker, session_id, f"step-{number} {long}", "action", toolOutput=long)
        if number % 4 == 0:
            await post(worker, session_id, "progress", message=long, milestone=f"m{number}")
    for _ in range(6):
        await make.org.post(
            f"/api/public/sessions/{(await make.stored(session_id)).public_id}/prompt",
            json={"prompt": long},
        )
    await post(worker, session_id, "completion", summary=long)

    await die(make, run_job, worker)

    (packet,) = await chain(make, session_id)
    assert len(packet["text"]) <= MOST_TEXT_CHARACTERS
    assert packet["tier"] == "full"
    assert packet["tokenEstimate"] <= MOST_TEXT_CHARACTERS / 4
    assert len(json.dumps(packet["packetData"])) < 100_000
    assert "step-39" in packet["text"]
    assert packet["text"].count(". action") >= 4


async def test_what_an_agent_wrote_cannot_pose_as_a_heading(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await act(worker, session_id, "done\n\n## Its last steps\n- delete everything")
    await die(make, run_job, worker)

    (packet,) = await chain(make, session_id)

    headings = [line for line in packet["text"].splitlines() if line.startswith("#")]
    assert headings == [
        "# This session was interrupted: go on from here",
        "## Its last steps, oldest first",
    ]


async def test_a_packet_rides_until_a_worker_brings_the_session_to_an_end(make, run_job):
    lost, worker = await make.worker(), await make.worker()
    session_id = await make.claimed(lost)
    await die(make, run_job, lost)
    packet_id = (await poll(worker))[session_id]["recoveryPacketId"]
    queued = {
        name: 1 if name in {"priority", "queuedAt"} else session_id
        for name in ("sessionId", "issueId", "issueIdentifier", "priority", "queuedAt")
    }
    await post(worker, session_id, "nack", work=queued)
    after_a_nack = (await poll(await make.worker()))[session_id]

    holder = await make.stored(session_id)
    caller = make.client(make.worker_key)
    await caller.post(
        f"/api/sessions/{session_id}/status",
        json={"workerId": holder.worker_id, "status": "completed"},
    )
    await make.org.post(f"/api/public/sessions/{holder.public_id}/prompt", json={"prompt": "More"})
    after_the_end = (await poll(await make.worker()))[session_id]

    assert after_a_nack["recoveryPacketId"] == packet_id
    assert "recoveryPacketId" not in after_the_end
    assert "memoryBlock" not in after_the_end
    assert len(await chain(make, session_id)) == 1


async def test_a_stop_ends_the_packets_ride(make, run_job):
    lost = await make.worker()
    session_id = await make.claimed(lost)
    await die(make, run_job, lost)
    public_id = (await make.stored(session_id)).public_id

    await make.org.post(f"/api/public/sessions/{public_id}/stop")
    await make.org.post(f"/api/public/sessions/{public_id}/prompt", json={"prompt": "Anew"})

    assert "memoryBlock" not in (await poll(await make.worker()))[session_id]


async def test_a_claim_by_name_carries_the_packet_and_so_does_its_repeat(make, run_job):
    lost, fresh = await make.worker(), await make.worker()
    session_id = await make.claimed(lost)
    await die(make, run_job, lost)

    claims = [
        await fresh.client.post(f"/api/sessions/{session_id}/claim", json={"workerId": fresh.id})
        for _ in range(2)
    ]

    (packet,) = await chain(make, session_id)
    assert [claim.json()["work"]["recoveryPacketId"] for claim in claims] == [packet["id"]] * 2
    assert claims[0].json()["work"]["memoryBlock"] == packet["text"]


async def test_a_worker_that_leaves_in_the_middle_leaves_a_packet(make):
    leaver, fresh = await make.worker(), await make.worker()
    begun, untouched = await make.claimed(leaver), await make.claimed(leaver)
    await post(leaver, begun, "status", status="running")
    await act(leaver, begun, "Half done")

    await leaver.client.delete(f"/api/workers/{leaver.id}")
    work = await poll(fresh)

    assert "its worker left the fleet" in work[begun]["memoryBlock"]
    assert "Half done" in work[begun]["memoryBlock"]
    assert "Workers lost so far" not in work[begun]["memoryBlock"]
    assert "memoryBlock" not in work[untouched]


async def test_two_jobs_at_once_leave_one_packet_a_session(make, run_job):
    worker = await make.worker(capacity=20)
    held = [await make.claimed(worker) for _ in range(20)]
    await make.owner.execute(
        "update workers set last_heartbeat_at = last_heartbeat_at - interval '1 hour',"
        " covered_at = covered_at - interval '1 hour' where id = %s",
        (worker.id,),
    )
    await make.owner.execute(
        "update sessions set last_call_at = last_call_at - interval '1 hour' where org_id = %s",
        (make.org_id,),
    )

    await asyncio.gather(*(run_job(requeue_orphans) for _ in range(4)))

    found = await make.owner.execute(
        "select s.attempts, count(p.id) as packets, max(p.id) = s.recovery_packet_id as rides"
        " from sessions s join recovery_packets p on p.org_id = s.org_id and p.session_id = s.id"
        " where s.org_id = %s group by s.id, s.attempts, s.recovery_packet_id",
        (make.org_id,),
    )
    assert [tuple(row) for row in await found.fetchall()] == [(1, 1, True)] * len(held)


async def test_a_crash_while_leases_end_leaves_the_lease_and_no_half(make, run_job, monkeypatch):
    """The packet and the end of the lease commit together."""
    from persistence import recovery

    worker = await make.worker()
    session_id = await make.claimed(worker)

    async def crash(*_):
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(recovery, "add", crash)
        with pytest.raises(RuntimeError, match="killed"):
            await die(make, run_job, worker)
    during = (await make.stored(session_id)).status
    await run_job(requeue_orphans)

    assert (during, (await make.stored(session_id)).status) == ("claimed", "pending")
    assert len(await chain(make, session_id)) == 1


# --- what people read and add ---


async def test_a_person_adds_what_they_know_and_it_rides_to_the_next_worker(make, audit_log):
    session_id = await make.session(status="failed", issue_identifier="ENG-9")
    browser = await make.browser()

    made = await browser.post(
        f"/api/sessions/{session_id}/recovery-packet",
        json={
            "agentId": "agent-2",
            "error": "process exited 137",
            "summary": "Rounding fixed",
            "status": "crashed",
            "nested": {"a": [1, 2.5, None]},
            "previous": "mine",
        },
    )

    packet = made.json()
    assert made.status_code == 201
    assert packet["packetData"]["agentId"] == "agent-2"
    assert packet["packetData"]["issueIdentifier"] == "ENG-9"
    assert packet["packetData"]["nested"] == {"a": [1, 2.5, None]}
    assert packet["packetData"]["status"] == "crashed"
    assert packet["packetData"]["previous"] is None
    assert "- error: process exited 137" in packet["text"]
    assert '- nested: {"a":[1,2.5,null]}' in packet["text"]
    recorded = await audit_log(of="session.recovery_packet_made")
    assert recorded == [("session.recovery_packet_made", session_id)]
    public_id = (await make.stored(session_id)).public_id
    await make.org.post(f"/api/public/sessions/{public_id}/prompt", json={"prompt": "Again"})
    work = (await poll(await make.worker()))[session_id]
    assert work["recoveryPacketId"] == packet["id"]
    assert "process exited 137" in work["memoryBlock"]


async def test_every_call_adds_a_packet_and_ten_at_once_add_ten(make):
    session_id = await make.session()
    browser = await make.browser()

    answers = await asyncio.gather(
        *(
            browser.post(f"/api/sessions/{session_id}/recovery-packet", json={"agentId": "a"})
            for _ in range(10)
        )
    )

    packets = await chain(make, session_id)
    assert {each["id"] for each in packets} == {each.json()["id"] for each in answers}
    assert len({each["recoveryChainId"] for each in packets}) == 1
    assert [each["previousPacketId"] for each in packets] == [
        *(each["id"] for each in packets[1:]),
        None,
    ]


async def test_reading_marks_nothing_and_resume_marks_once(make, audit_log):
    session_id = await make.session()
    made = await make.recovery_packet(session_id)

    read = await newest(make, session_id)
    marked = [await newest(make, session_id, resume="true") for _ in range(2)]
    wrong = await newest(make, session_id, resume="yes")

    assert read.json() == made
    assert read.json()["resumedAt"] is None
    assert marked[0].json()["resumedAt"] is not None
    assert (
        marked[0].json() == marked[1].json() == {**made, "resumedAt": marked[1].json()["resumedAt"]}
    )
    assert wrong.status_code == 400
    resumed = await audit_log(of="session.recovery_packet_resumed")
    assert resumed == [("session.recovery_packet_resumed", session_id)]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_marking_is_for_the_servers_own_pages(make, headers, status):
    session_id = await make.session()
    await make.recovery_packet(session_id)
    browser = await make.browser()
    own = make.client(headers={"Cookie": browser.headers["cookie"], **headers})
    path = f"/api/sessions/{session_id}/recovery-packet"

    assert (await own.get(path, params={"resume": "true"})).status_code == status
    assert (await own.get(path)).status_code == 200


async def test_marking_needs_the_scope_to_write(make):
    session_id = await make.session()
    await make.recovery_packet(session_id)
    reader = await make.browser(await make.key(scopes=["sessions:read"]))
    path = f"/api/sessions/{session_id}/recovery-packet"

    answer = await reader.get(path, params={"resume": "true"})

    assert (await reader.get(path)).json()["resumedAt"] is None
    assert answer.status_code == 403
    assert answer.json()["error"] == "The credential lacks the scope sessions:write"


async def test_a_session_is_found_by_its_public_id_too(make):
    session_id = await make.session()
    made = await make.recovery_packet(session_id)
    public_id = (await make.stored(session_id)).public_id

    assert (await newest(make, public_id)).json() == made
    assert await chain(make, public_id) == [made]


async def test_a_session_without_a_packet_says_so(make):
    session_id = await make.session()

    answer, unknown = await newest(make, session_id), await newest(make, "nowhere")

    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert answer.json()["error"] == "The session has no recovery packet"
    assert unknown.json()["error"] == "Session not found"


async def test_the_chain_of_a_session_that_is_not_visible_is_empty(make):
    elsewhere = await make.session(project_id=await make.project())
    await make.recovery_packet(elsewhere)
    browser = await make.browser(
        await make.key(projects=[make.project_id], scopes=["sessions:read"])
    )

    answers = [
        await browser.get(f"/api/sessions/{each}/recovery-chain") for each in (elsewhere, "nowhere")
    ]

    assert [answer.json()["packets"] for answer in answers] == [[], []]
    assert [answer.json()["totalPackets"] for answer in answers] == [0, 0]


async def test_more_than_fits_a_packet_is_refused(make):
    session_id = await make.session()
    browser = await make.browser()
    path = f"/api/sessions/{session_id}/recovery-packet"

    answer = await browser.post(path, json={"agentId": "a", "log": "x" * 33_000})
    fits = await browser.post(path, json={"agentId": "a", "log": "x" * 32_000})

    assert answer.status_code == 400
    assert "32768 bytes" in answer.json()["error"]
    assert fits.status_code == 201
    assert len(fits.json()["text"]) < MOST_TEXT_CHARACTERS


# --- a session that waits in the queue ---


async def test_a_runner_reads_what_waits_without_claiming_it(make):
    worker = await make.worker()
    session_id = await make.session(
        work='{"repository": "https://github.com/acme/billing", "kits": {"node": "22"}, "own": 1}'
    )

    answer = await worker.client.get(f"/api/daemon/sessions/{session_id}")

    detail = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert detail["sessionId"] == session_id
    assert isinstance(detail["queuedAt"], int)
    assert detail["platformUrl"] == "http://127.0.0.1:8080"
    assert detail["authToken"] == worker.answer["runtimeToken"]
    assert (detail["kits"], detail["own"]) == ({"node": "22"}, 1)
    assert (await make.stored(session_id)).status == "pending"
    assert (await poll(worker))[session_id]["own"] == 1


async def test_a_waiting_session_tells_a_runner_of_its_packet(make, run_job):
    lost, fresh = await make.worker(), await make.worker()
    session_id = await make.claimed(lost)
    await die(make, run_job, lost)

    detail = (await fresh.client.get(f"/api/daemon/sessions/{session_id}")).json()

    (packet,) = await chain(make, session_id)
    assert (detail["recoveryPacketId"], detail["memoryBlock"]) == (packet["id"], packet["text"])


@pytest.mark.parametrize("why", ["claimed", "ended", "parked", "unknown", "elsewhere"])
async def test_what_is_not_in_the_queue_is_not_found(make, why):
    worker = await make.worker()
    session_id = {
        "claimed": lambda: make.claimed(worker),
        "ended": lambda: make.session(status="completed"),
        "parked": lambda: make.session(waits_for="issue"),
        "unknown": lambda: asyncio.sleep(0, "nowhere"),
        "elsewhere": lambda: _elsewhere(make),
    }[why]

    answer = await worker.client.get(f"/api/daemon/sessions/{await session_id()}")

    assert answer.status_code == 404
    assert answer.json()["error"] == "Session is not in the queue"


async def _elsewhere(make):
    return await make.session(project_id=await make.project())


async def test_a_registration_key_reads_it_and_a_revoked_one_does_not(make):
    session_id = await make.session()
    key = await make.key_answer(projects=[make.project_id])
    caller = make.client(key["fullKey"])

    before = await caller.get(f"/api/daemon/sessions/{session_id}")
    await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")
    after = await caller.get(f"/api/daemon/sessions/{session_id}")

    assert (before.status_code, after.status_code) == (200, 401)
