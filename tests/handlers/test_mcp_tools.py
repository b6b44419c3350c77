"""What the tools of a session do: they change what the REST operations change, and no more."""

import asyncio

from services.tools.session import DEEPEST_SUBMISSION, MOST_SUBMITTED
from tests.mcp_client import Agent, call


async def of(make, session_id):
    rows = await make.owner.execute(
        "select * from sessions where org_id = %s and public_id = %s", (make.org_id, session_id)
    )
    return await rows.fetchone()


async def test_the_status_tells_of_this_session_alone(make):
    agent = await Agent.begin(make, issue_title="Keep the currency")
    await Agent.begin(make, agent.worker)
    await agent.result("files_reserve", paths=["b.py", "a.py"])

    status = await agent.result("session_status")

    stored = await make.stored(agent.id)
    assert status["id"] == stored.public_id
    assert status["issue"] == stored.issue_identifier
    assert status["issueTitle"] == "Keep the currency"
    assert status["reservedFiles"] == ["a.py", "b.py"]


async def test_the_list_shows_the_project_and_nothing_else(make):
    agent = await Agent.begin(make)
    await make.session(await make.project())
    others = [await make.session() for _ in range(3)]

    whole = await agent.result("session_list")
    first = await agent.result("session_list", limit=2)
    rest = await agent.result("session_list", limit=2, cursor=first["nextCursor"])

    expected = {(await make.stored(each)).public_id for each in [agent.id, *others]}
    assert {each["id"] for each in whole["sessions"]} == expected
    assert {each["id"] for each in first["sessions"] + rest["sessions"]} == expected
    assert (await agent.error(call("session_list", cursor="x")))["code"] == -32602


async def test_a_context_among_the_arguments_is_never_read(make):
    agent = await Agent.begin(make)
    other = await make.session(await make.project())
    forged = {"orgId": "org_x", "projectId": "proj_x", "sessionId": other}

    status = await agent.result("session_status", context=forged, sessionId=other)

    assert status["id"] == (await make.stored(agent.id)).public_id


async def test_progress_is_seen_where_the_workers_progress_is(make):
    agent = await Agent.begin(make)

    posted = await agent.result("session_progress", message="Half done", milestone="half")

    rows = await make.owner.execute(
        "select activity from activities where session_id = %s", (agent.id,)
    )
    assert posted == {"posted": True, "forwarded": False}
    assert [row.activity for row in await rows.fetchall()] == [
        {"type": "progress", "content": "Half done", "milestone": "half"}
    ]


async def test_files_are_kept_from_other_sessions_until_they_are_given_back(make):
    worker = await make.worker()
    first, second = await Agent.begin(make, worker), await Agent.begin(make, worker)

    own = await first.result("files_reserve", paths=["a.py", "./a.py", "b.py"], reason="refactor")
    taken = await second.result("files_reserve", paths=["b.py", "c.py"])
    by_rest = await worker.client.post(
        f"/api/sessions/{second.id}/files/check-conflicts", json={"filePaths": ["a.py"]}
    )
    some = await first.result("files_release", paths=["b.py"])
    rest = await first.result("files_release")
    again = await second.result("files_reserve", paths=["a.py", "b.py"])

    assert own == {"reserved": ["a.py", "b.py"], "conflicts": []}
    assert taken["reserved"] == ["c.py"]
    assert [each["path"] for each in taken["conflicts"]] == ["b.py"]
    assert by_rest.json()["conflicts"][0]["heldBy"]["sessionId"] == first.id
    assert (some, rest) == ({"released": 1}, {"released": 1})
    assert again["reserved"] == ["a.py", "b.py"]


async def test_tools_follow_the_session_to_its_workers_new_id(make):
    agent, heir = await Agent.begin(make), await make.worker()
    moved = await heir.client.post(
        f"/api/sessions/{agent.id}/transfer-ownership",
        json={"newWorkerId": heir.id, "oldWorkerId": agent.worker.id},
    )

    reserved = await agent.result("files_reserve", paths=["a.py"])
    posted = await agent.result("session_progress", message="still here")

    assert moved.json()["transferred"] is True
    assert (reserved["reserved"], posted["posted"]) == (["a.py"], True)


async def test_a_key_reports_nothing_for_a_session_that_nobody_works_on(make):
    waiting = await make.session()
    key = make.client(make.worker_key)

    for asked in (
        call("session_progress", message="x"),
        call("files_reserve", paths=["a.py"]),
        call("files_release"),
    ):
        answer = await key.post(f"/api/mcp/{waiting}", json=asked)

        assert answer.json()["result"]["isError"] is True
        assert "not at work" in answer.json()["result"]["content"][0]["text"]


# --- follow-up tasks -----------------------------------------------------------------------------


async def test_a_follow_up_of_the_issue_waits_for_this_session_and_says_whence_it_came(
    make, audit_log
):
    agent = await Agent.begin(make, work='{"repository": "git@github.com:acme/api"}')
    parent = await make.stored(agent.id)
    await make.owner.execute(
        "update sessions set holds_issue = true where org_id = %s and id = %s",
        (make.org_id, agent.id),
    )

    made = await agent.result("task_submit", title="Test it", prompt="Test what I built")

    session = await of(make, made["id"])
    assert made["status"] == "parked"
    assert session.project_id == make.project_id
    assert (session.issue_id, session.work_type) == (parent.issue_id, parent.work_type)
    assert (session.submitted_by, session.submission_depth) == (agent.id, 1)
    assert session.work == {
        "title": "Test it",
        "prompt": "Test what I built",
        "sourceSessionId": agent.id,
        "repository": "git@github.com:acme/api",
    }
    assert await audit_log(of="session.parked") == [("session.parked", session.id)]
    actor = await make.owner.execute(
        "select actor_type, actor_id from audit_pending where entity_id = %s", (session.id,)
    )
    assert tuple(await actor.fetchone()) == ("agent", agent.id)


async def test_a_task_of_no_issue_starts_at_once(make):
    agent = await Agent.begin(make)

    made = await agent.result(
        "task_submit", title="Look", prompt="Look", sameIssue=False, workType="research", priority=1
    )
    poll = await agent.worker.client.get(f"/api/workers/{agent.worker.id}/poll")

    assert made["status"] == "queued"
    (work,) = poll.json()["work"]
    assert (work["workType"], work["prompt"], work["issueId"]) == ("research", "Look", "")
    assert work["sourceSessionId"] == agent.id


async def test_the_same_key_submits_once(make):
    agent = await Agent.begin(make)
    task = {"title": "a", "prompt": "b", "sameIssue": False, "idempotencyKey": "k"}

    first, again = (
        await agent.result("task_submit", **task),
        await agent.result("task_submit", **task),
    )
    other = await agent.failure("task_submit", **{**task, "prompt": "c"})

    assert first == again
    assert "another request" in other


async def test_a_session_submits_no_more_than_it_may_even_at_once(make):
    agent = await Agent.begin(make)
    body = call("task_submit", title="a", prompt="b", sameIssue=False)

    answers = await asyncio.gather(*(agent.post(body) for _ in range(MOST_SUBMITTED + 5)))

    results = [answer.json()["result"] for answer in answers]
    assert sum(not result.get("isError") for result in results) == MOST_SUBMITTED
    counted = await make.owner.execute(
        "select count(*) as n from sessions where submitted_by = %s", (agent.id,)
    )
    assert (await counted.fetchone()).n == MOST_SUBMITTED


async def test_a_chain_of_follow_ups_ends(make):
    agent = await Agent.begin(make, submission_depth=DEEPEST_SUBMISSION)

    said = await agent.failure("task_submit", title="a", prompt="b")

    assert "ask a person" in said


# --- stopping ------------------------------------------------------------------------------------


async def test_a_stop_frees_what_the_session_held_and_tells_its_worker(make, audit_log):
    agent, watching = await Agent.begin(make), await make.worker()
    other = await make.claimed(watching)
    await agent.result("files_reserve", paths=["a.py"])

    stopped = await agent.result("session_stop")

    free = await watching.client.post(
        f"/api/sessions/{other}/files/reserve", json={"filePaths": ["a.py"]}
    )
    poll = await agent.worker.client.get(f"/api/workers/{agent.worker.id}/poll")
    assert stopped == {"stopped": True, "previousStatus": "working"}
    assert free.json()["reserved"] == ["a.py"]
    assert [each["type"] for each in poll.json()["inboxMessages"][agent.id]] == ["stop"]
    assert await audit_log(of="session.stopped") == [("session.stopped", agent.id)]


async def test_an_ended_session_is_not_stopped_by_a_key(make):
    done = await make.session(status="completed")

    answer = await make.org.post(f"/api/mcp/{done}", json=call("session_stop"))

    assert answer.json()["result"]["isError"] is True
    assert (await make.stored(done)).status == "completed"
