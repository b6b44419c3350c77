"""Issues that move start work, sessions that end move issues, and twice is once."""

import asyncio

import pytest

from jobs.promote_parked import promote_parked
from jobs.send_outbox import send_outbox
from tests.factories import linear_event
from tests.tracker import ask

AGENT = {"status": "running", "providerSessionId": "prov-1"}
EVERYTHING = {"development": True, "qa": True, "acceptance": True, "refinement": True}


async def sessions_of(make, issue_id):
    found = await make.owner.execute(
        "select id, work_type, status, waits_for, work, priority from sessions"
        " where org_id = %s and issue_id = %s order by created_at, id",
        (make.org_id, issue_id),
    )
    return await found.fetchall()


async def open_sessions(make, issue_id):
    rows = await sessions_of(make, issue_id)
    return [(row.work_type, row.waits_for) for row in rows if row.status == "pending"]


async def report(worker, session_id, what="status", **body):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/{what}", json={"workerId": worker.id, **body}
    )
    assert answer.status_code == 200, answer.text


async def state_of(worker, issue_id):
    return (await ask(worker, "getIssue", issue_id))["state"]["name"]


async def work_on(worker, session_id, result="WORK_RESULT:passed"):
    """What an agent's session comes to, as real clients report it."""
    await report(worker, session_id, **AGENT)
    await report(worker, session_id, "completion", summary=f"Done.\n\n{result}")
    await report(worker, session_id, status="completed")


async def take(worker):
    """The only session that a poll hands out."""
    (work,) = (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()["work"]
    return work


@pytest.mark.parametrize("before", ["Icebox", "Rejected", "Canceled"])
async def test_what_is_opened_anew_is_developed(make, tracker, before):
    await tracker.issue(1, before, description="Why", priority=1)
    await make.settings_of_project(automation=EVERYTHING)

    await tracker.issue(1, "Backlog", description="Why", priority=1)

    (row,) = await sessions_of(make, tracker.id())
    assert (row.work_type, row.status, row.priority) == ("development", "pending", 1)
    assert row.work == {"title": "Issue 1", "body": "Why"}


async def test_nothing_starts_by_itself_where_nothing_is_switched_on(make, tracker):
    for state in ("Icebox", "Backlog", "Finished", "Delivered", "Rejected"):
        await tracker.issue(1, state)

    assert await sessions_of(make, tracker.id()) == []


async def test_a_report_of_the_state_that_is_stored_starts_nothing(make, tracker):
    await make.settings_of_project(automation=EVERYTHING)
    await tracker.issue(1, "Started")
    await tracker.issue(1, "Delivered")
    first = await sessions_of(make, tracker.id())

    await tracker.issue(1, "Delivered", title="Another title")
    await tracker.issue(1, "Delivered")

    assert [row.work_type for row in first] == ["acceptance"]
    assert await sessions_of(make, tracker.id()) == first


async def test_an_issue_that_is_only_learned_of_starts_nothing(make, tracker):
    await make.settings_of_project(automation=EVERYTHING)

    await tracker.issue(1, "Delivered", action="create")

    assert await sessions_of(make, tracker.id()) == []


async def test_a_whole_way_from_development_to_acceptance(make, tracker):
    await make.settings_of_project(automation=EVERYTHING)
    worker = await make.worker()
    await tracker.issue(1, "Icebox")
    await tracker.issue(1, "Backlog")

    seen = []
    for _ in range(3):
        work = await take(worker)
        seen.append((work["workType"], work.get("sourceSessionId")))
        await work_on(worker, work["sessionId"])
        seen.append(await state_of(worker, tracker.id()))

    (development, *_) = await sessions_of(make, tracker.id())
    assert seen == [
        ("development", None),
        "Finished",
        ("qa", development.id),
        "Delivered",
        ("acceptance", None),
        "Accepted",
    ]
    assert await open_sessions(make, tracker.id()) == []


async def test_a_failed_qa_is_refined_with_what_it_said_and_developed_anew(make, tracker):
    await make.settings_of_project(automation=EVERYTHING)
    worker = await make.worker()
    await tracker.issue(1, "Icebox")
    await tracker.issue(1, "Backlog")
    await work_on(worker, (await take(worker))["sessionId"])
    await work_on(worker, (await take(worker))["sessionId"], "No rounding. WORK_RESULT:failed")
    rejected = await state_of(worker, tracker.id())

    refinement = await take(worker)
    await work_on(worker, refinement["sessionId"])

    assert rejected == "Rejected"
    assert refinement["workType"] == "refinement"
    assert "No rounding" in refinement["promptContext"]
    assert (await take(worker))["workType"] == "development"


async def test_the_worker_and_the_result_may_both_ask_for_the_same_move(
    make, tracker, run_job, audit_log
):
    await make.settings_of_project(automation=EVERYTHING)
    worker = await make.worker()
    await tracker.issue(1, "Backlog")
    session_id = await make.claimed(worker, issue_id=tracker.id(), holds_issue=True)
    await report(worker, session_id, **AGENT)

    await asyncio.gather(
        *(ask(worker, "updateIssueStatus", tracker.id(), "Finished") for _ in range(3)),
        report(worker, session_id, "completion", summary="WORK_RESULT:passed"),
        report(worker, session_id, "completion", summary="WORK_RESULT:passed"),
    )
    await report(worker, session_id, status="completed")
    await report(worker, session_id, status="completed")
    await run_job(promote_parked)

    assert await open_sessions(make, tracker.id()) == [("qa", None)]
    moves = await audit_log(of="issue.moved")
    assert len(moves) == 3  # known as Backlog, Started, Finished


async def test_a_text_that_comes_after_the_end_moves_the_issue_too(make, tracker):
    worker = await make.worker()
    await tracker.issue(1, "Backlog")
    session_id = await make.claimed(worker, issue_id=tracker.id())
    await report(worker, session_id, **AGENT)
    started = await state_of(worker, tracker.id())
    await report(worker, session_id, status="completed")
    before = await state_of(worker, tracker.id())

    await report(worker, session_id, "completion", summary="WORK_RESULT:passed")

    assert (started, before) == ("Started", "Started")
    assert await state_of(worker, tracker.id()) == "Finished"


async def test_an_issue_is_started_when_an_agent_is_there_and_not_before(make, tracker):
    """Real clients read the issue after their first `running`, and go by its state."""
    worker = await make.worker()
    await tracker.issue(1, "Backlog")
    session_id = await make.claimed(worker, issue_id=tracker.id())

    await report(worker, session_id, status="running")
    await report(worker, session_id, status="running", providerSessionId=session_id)
    before = await state_of(worker, tracker.id())
    await report(worker, session_id, **AGENT)

    assert (before, await state_of(worker, tracker.id())) == ("Backlog", "Started")


@pytest.mark.parametrize("ended", ["failed", "stopped"])
async def test_a_session_that_does_not_complete_moves_nothing(make, tracker, ended):
    worker = await make.worker()
    await tracker.issue(1, "Finished")
    session_id = await make.claimed(worker, issue_id=tracker.id(), work_type="qa")
    await report(worker, session_id, "completion", summary="WORK_RESULT:passed")

    await report(worker, session_id, status=ended)

    assert await state_of(worker, tracker.id()) == "Finished"


async def test_parked_work_is_dropped_when_the_issue_moves(make, tracker):
    worker = await make.worker()
    await tracker.issue(1, "Started")
    working = await make.claimed(worker, issue_id=tracker.id(), holds_issue=True)
    waiting = await make.session(issue_id=tracker.id(), waits_for="issue", work_type="qa")

    await tracker.issue(1, "Accepted")

    assert (await make.stored(waiting)).status == "stopped"
    assert (await make.stored(working)).status == "claimed"


async def test_after_three_tries_a_comment_asks_a_person_once(make, tracker, linear, run_job):
    await make.settings_of_project(automation=EVERYTHING)
    worker = await make.worker()
    for _ in range(3):
        await make.session(
            issue_id=tracker.id(), work_type="acceptance", status="failed", claimed_at="now"
        )
    await tracker.issue(1, "Started")

    for _ in range(2):
        await tracker.issue(1, "Delivered")
        await tracker.issue(1, "Started")
    await run_job(send_outbox)

    assert await open_sessions(make, tracker.id()) == []
    (comment,) = await ask(worker, "getIssueComments", tracker.id())
    assert "acceptance was tried 3 times" in comment["body"]
    assert [what["id"] for kind, what in linear.said if kind == "comment"] == [comment["id"]]


async def test_a_sub_issue_and_an_excluded_label_are_left_alone(make, tracker):
    await make.settings_of_project(automation=EVERYTHING, excludedLabels=["no-agent"])
    parent = {"id": "parent", "identifier": "ENG-9"}
    label = [{"id": "lab-1", "name": "no-agent"}]
    await tracker.issue(1, "Started", parent=parent)
    await tracker.issue(2, "Started", labels=label)

    await tracker.issue(1, "Delivered", parent=parent)
    await tracker.issue(2, "Delivered", labels=label)

    assert await sessions_of(make, tracker.id(1)) == []
    assert await sessions_of(make, tracker.id(2)) == []


async def test_an_agent_sessions_work_follows_the_projects_names_of_states(make, tracker):
    await make.settings_of_project(stateNames={"finished": "In Review"})
    event = linear_event(
        tracker.workspace, state={"id": "s1", "name": "In Review", "type": "started"}
    )

    await tracker.send(event)

    assert (await make.stored(event["agentSession"]["id"])).work_type == "qa"


async def test_our_own_move_that_comes_back_starts_nothing(make, tracker, linear, run_job):
    await make.settings_of_project(
        automation=EVERYTHING, stateNames={"finished": "In Review", "started": "In Progress"}
    )
    worker = await make.worker()
    for number, state in enumerate(("In Progress", "In Review"), 2):
        await tracker.issue(number, state)
    await tracker.issue(1, "Todo")
    session_id = await make.claimed(worker, issue_id=tracker.id(), holds_issue=True)
    await work_on(worker, session_id)
    await run_job(send_outbox)
    first = await sessions_of(make, tracker.id())

    await tracker.issue(1, "In Progress")
    await tracker.issue(1, "In Review")

    assert [row.work_type for row in first] == ["development", "qa"]
    assert await sessions_of(make, tracker.id()) == first
    sent = [what["stateId"] for kind, what in linear.said if kind == "issue_update"]
    assert sent == ["st-In Progress", "st-In Review"]


async def test_everybody_at_once_on_one_issue_leaves_one_holder_and_no_error(make, tracker):
    await make.settings_of_project(automation=EVERYTHING)
    worker = await make.worker()
    await tracker.issue(1, "Backlog")
    session_id = await make.claimed(worker, issue_id=tracker.id(), holds_issue=True)
    await report(worker, session_id, **AGENT)
    await report(worker, session_id, "completion", summary="WORK_RESULT:passed")
    asked = {"issueId": tracker.id(), "issueIdentifier": f"{tracker.prefix}-1"}

    async def queue(work_type):
        body = {**asked, "workType": work_type, "projectId": make.project_id}
        answer = await make.org.post("/api/sessions", json=body)
        assert answer.status_code == 201, answer.text

    await asyncio.gather(
        report(worker, session_id, status="completed"),
        *(ask(worker, "updateIssueStatus", tracker.id(), "Finished") for _ in range(3)),
        *(ask(worker, "updateIssueStatus", tracker.id(), "Rejected") for _ in range(2)),
        *(queue(work_type) for work_type in ("research", "qa", "inflight")),
        *(ask(worker, "createComment", tracker.id(), "Done.") for _ in range(3)),
        tracker.issue(1, "Delivered"),
    )

    found = await make.owner.execute(
        "select count(*) from sessions where org_id = %s and holds_issue", (make.org_id,)
    )
    assert (await found.fetchone())[0] <= 1
    assert (await make.stored(session_id)).status == "completed"


@pytest.mark.parametrize(
    ("states", "checked"),
    [
        ((), True),
        (("error",), False),
        (("error", "succeeded"), True),
        (("succeeded", "error"), False),
        (("created",), True),
    ],
)
async def test_qa_waits_while_the_last_deployment_has_failed(make, tracker, states, checked):
    """A deployment belongs to the issue by the session that it is linked to."""
    await make.settings_of_project(automation=EVERYTHING)
    await tracker.issue(1, "Started")
    worker = await make.worker()
    session_id = await make.claimed(worker, issue_id=tracker.id())
    for number, state in enumerate(states):
        await make.owner.execute(
            "insert into session_links (org_id, session_id, kind, key, url, state, at) values"
            " (%s, %s, 'deployment', %s, 'https://x', %s, now() + make_interval(secs => %s))",
            (make.org_id, session_id, f"dpl_{number}", state, number),
        )

    await work_on(worker, session_id)

    assert await state_of(worker, tracker.id()) == "Finished"
    assert await open_sessions(make, tracker.id()) == ([("qa", None)] if checked else [])
