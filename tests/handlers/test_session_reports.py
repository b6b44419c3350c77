"""What workers report about a session beside its status."""

import asyncio

import pytest


async def post(worker, session_id, **activity):
    return await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={
            "workerId": worker.id,
            "activity": {"type": "action", "content": "Ran the tests", **activity},
        },
    )


async def numbers(make, session_id):
    rows = await make.owner.execute(
        "select seq from activities where org_id = %s and session_id = %s order by seq",
        (make.org_id, session_id),
    )
    return [row.seq for row in await rows.fetchall()]


async def test_an_activity_is_stored_and_says_why_it_was_not_forwarded(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await post(worker, session_id, toolName="Bash")

    assert answer.status_code == 200
    assert answer.json()["forwarded"] is False
    assert answer.json()["reason"]
    assert await numbers(make, session_id) == [1]
    assert await audit_log(of="session.activity") == []


async def test_activities_posted_at_once_have_numbers_without_a_gap(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answers = await asyncio.gather(
        *(post(worker, session_id, content=f"step {n}") for n in range(24))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert await numbers(make, session_id) == list(range(1, 25))


@pytest.mark.parametrize("mark", [{"timestamp": "2026-06-03T08:17:02.118Z"}, {"toolUseId": "tu_1"}])
async def test_a_repeat_that_can_be_told_is_stored_once(make, mark):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answers = await asyncio.gather(*(post(worker, session_id, **mark) for _ in range(6)))
    await post(worker, session_id, content="another", **mark)

    assert {answer.status_code for answer in answers} == {200}
    assert await numbers(make, session_id) == [1, 2]


async def test_equal_activities_without_a_mark_are_real(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    for _ in range(3):
        await post(worker, session_id)

    assert await numbers(make, session_id) == [1, 2, 3]


async def test_after_ten_minutes_a_repeat_counts_as_new(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await post(worker, session_id, toolUseId="tu_1")
    await make.owner.execute(
        "update activities set stored_at = now() - interval '11 minutes' where org_id = %s",
        (make.org_id,),
    )

    await post(worker, session_id, toolUseId="tu_1")
    await post(worker, session_id, toolUseId="tu_1")

    assert await numbers(make, session_id) == [1, 2]


@pytest.mark.parametrize(
    "activity",
    [
        {"type": "thought"},
        {"content": "x"},
        {"type": "thought", "content": ""},
        {"type": "opinion", "content": "x"},
        {"type": "thought", "content": "x", "timestamp": "yesterday"},
    ],
)
async def test_an_activity_that_does_not_fit_is_400(make, activity):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": worker.id, "activity": activity},
    )

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body.activity")


async def test_a_time_stamp_in_nanoseconds_is_taken(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await post(worker, session_id, timestamp="2026-06-03T08:17:02.118123456Z")

    assert answer.status_code == 200


async def test_a_late_activity_of_an_ended_session_is_kept(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "completed"}
    )

    answer = await post(worker, session_id)

    assert answer.status_code == 200
    assert await numbers(make, session_id) == [1]


async def test_a_completion_is_stored_once_per_attempt(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    url, body = f"/api/sessions/{session_id}/completion", {"summary": "14 tests added."}

    answers = await asyncio.gather(*(worker.client.post(url, json=body) for _ in range(4)))
    other = await worker.client.post(url, json={"summary": "And one more."})

    assert {answer.status_code for answer in answers} == {200}
    assert other.json() == {"posted": 0, "errors": [], "reason": other.json()["reason"]}
    assert len(await audit_log(of="session.completion_posted")) == 2


async def test_a_completion_is_a_call_that_keeps_the_session_a_repeat_too(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    url, body = f"/api/sessions/{session_id}/completion", {"summary": "14 tests added."}

    seen = []
    for _ in range(2):
        await make.owner.execute(
            "update sessions set last_call_at = null, confirmed = false where id = %s",
            (session_id,),
        )
        assert (await worker.client.post(url, json=body)).status_code == 200
        seen.append(await make.stored(session_id))

    assert all(row.last_call_at is not None and row.confirmed for row in seen)


async def test_a_completion_needs_no_worker_id_from_the_key_that_registered_the_worker(make):
    """The open-source worker posts completions without `workerId`."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    other_key = await make.key(projects=[make.project_id])
    url = f"/api/sessions/{session_id}/completion"

    mine = await make.client(make.worker_key).post(url, json={"summary": "Done."})
    theirs = await make.client(other_key).post(url, json={"summary": "Done."})
    empty = await make.client(make.worker_key).post(url, json={"summary": ""})

    assert mine.status_code == 200
    assert theirs.status_code == 403
    assert empty.status_code == 400


async def test_a_milestone_is_an_activity_stored_once_per_attempt(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    body = {"workerId": worker.id, "milestone": "tests", "message": "Suite is green"}
    url = f"/api/sessions/{session_id}/progress"

    answers = [await worker.client.post(url, json=body) for _ in range(3)]
    other = await worker.client.post(url, json={**body, "milestone": "pr"})

    assert {answer.json()["milestone"] for answer in answers} == {"tests"}
    assert other.status_code == 200
    assert await numbers(make, session_id) == [1, 2]


async def test_a_broken_tool_is_stored_once_per_attempt(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    body = {"workerId": worker.id, "toolName": "Bash", "errorMessage": "pnpm: command not found"}
    url = f"/api/sessions/{session_id}/tool-error"

    answers = [await worker.client.post(url, json=body) for _ in range(3)]
    empty = await worker.client.post(url, json={**body, "errorMessage": ""})

    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["created"] is False
    assert empty.status_code == 400
    assert await audit_log(of="session.tool_failed") == [("session.tool_failed", session_id)]


def scan(worker, **event):
    return {
        "workerId": worker.id,
        "event": {
            "type": "agent.security-scan",
            "scanner": "semgrep",
            "severityCounts": {"critical": 0, "high": 1, "medium": 3, "low": 8},
            "totalFindings": 12,
            "target": "services/billing",
            "scanDurationMs": 15230,
            "timestamp": "2026-06-03T08:21:40Z",
            **event,
        },
    }


async def test_a_scan_of_the_same_time_stamp_replaces_the_one_before(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    url = f"/api/sessions/{session_id}/security-scan"

    for findings in (12, 3):
        answer = await worker.client.post(url, json=scan(worker, totalFindings=findings))
        assert answer.json() == {"stored": True}

    rows = await make.owner.execute(
        "select event from security_scans where org_id = %s", (make.org_id,)
    )
    assert [row.event["totalFindings"] for row in await rows.fetchall()] == [3]


@pytest.mark.parametrize(
    "event",
    [{"type": "scan"}, {"totalFindings": -1}, {"severityCounts": {"high": 1}}, {"scanner": ""}],
)
async def test_a_scan_that_does_not_fit_is_400(make, event):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await worker.client.post(
        f"/api/sessions/{session_id}/security-scan", json=scan(worker, **event)
    )

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body.event")


async def test_links_replace_the_list_and_are_shown(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    url = f"/api/sessions/{session_id}/external-urls"
    links = [{"label": "Pull request", "url": "https://github.com/acme/billing/pull/318"}]

    first = await worker.client.post(url, json={"externalUrls": links})
    again = await make.client(make.worker_key).post(url, json={"externalUrls": links})
    unsafe = await worker.client.post(
        url, json={"externalUrls": [{"label": "x", "url": "javascript:alert(1)"}]}
    )
    public_id = (await make.stored(session_id)).public_id
    shown = (await make.org.get(f"/api/public/sessions/{public_id}")).json()["session"]

    assert first.json() == again.json() == {"updated": True, "externalUrls": links}
    assert unsafe.status_code == 400
    assert shown["externalUrls"] == links
    assert len(await audit_log(of="session.urls_changed")) == 1


async def test_calls_of_one_tool_in_a_row_are_counted(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    for tool in ("Bash", "Read", "Read", "Read"):
        await post(worker, session_id, toolName=tool)
    await post(worker, session_id, type="thought", content="hm")

    state = (await worker.client.get(f"/api/sessions/{session_id}/status")).json()

    assert (state["lastToolName"], state["toolCallCount"]) == ("Read", 3)
    assert state["lastToolCalledAt"] > 1_700_000_000_000
