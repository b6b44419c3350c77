"""What workers report goes on to the tracker, or they are told why not."""

import asyncio

import pytest

CREDENTIAL = "no Linear credential is configured for the organization"
NOT_BOUND = "the session is not bound to Linear"


async def waiting(make):
    found = await make.owner.execute(
        "select kind, payload from outbox where org_id = %s order by id", (make.org_id,)
    )
    return [(row.kind, row.payload) for row in await found.fetchall()]


async def post(worker, session_id, what="activity", **body):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/{what}", json={"workerId": worker.id, **body}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def act(worker, session_id, kind="thought", content="Hm", **more):
    return await post(worker, session_id, activity={"type": kind, "content": content, **more})


@pytest.mark.parametrize("kind", ["thought", "action", "response", "error"])
async def test_these_activities_are_forwarded(make, linear, kind):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await act(worker, session_id, kind)

    assert answer == {"forwarded": True, "linearSessionId": session_id}
    ((what, payload),) = await waiting(make)
    assert (what, payload["content"]["type"]) == ("activity", kind)


@pytest.mark.parametrize("kind", ["context", "progress"])
async def test_other_activities_are_stored_only(make, linear, kind):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await act(worker, session_id, kind)

    assert answer == {
        "forwarded": False,
        "linearSessionId": session_id,
        "reason": f"{kind} is not forwarded",
    }
    assert await waiting(make) == []


async def test_without_a_credential_nothing_is_forwarded_and_the_reason_says_so(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    activity = await act(worker, session_id)
    completion = await post(worker, session_id, "completion", summary="Done.")
    progress = await post(worker, session_id, "progress", message="Green")
    broken = await post(worker, session_id, "tool-error", toolName="Bash", errorMessage="no")
    await post(worker, session_id, "status", status="completed")

    assert (activity["forwarded"], activity["reason"]) == (False, CREDENTIAL)
    assert (completion["posted"], completion["reason"]) == (0, CREDENTIAL)
    assert (progress["posted"], progress["reason"]) == (False, CREDENTIAL)
    assert (broken["created"], broken["reason"]) == (False, CREDENTIAL)
    assert await waiting(make) == []


async def test_the_credential_of_one_organization_serves_no_other(make, linear, owner, application):
    from tests.conftest import SYSTEM_KEY
    from tests.factories import Maker

    other = await Maker.begin(application, owner, SYSTEM_KEY)
    worker = await other.worker()
    session_id = await other.claimed(worker)

    answer = await act(worker, session_id)

    assert answer["reason"] == CREDENTIAL
    assert await waiting(other) == []
    await other.close()


async def test_a_session_that_is_not_bound_to_linear_says_so(make, linear):
    worker = await make.worker()
    one = await make.claimed(worker, id=f"governor-{make.org_id}")
    other = await make.claimed(worker, provider_session_id="governor-7")

    for session_id in (one, other):
        assert (await act(worker, session_id))["reason"] == NOT_BOUND
        completion = await post(worker, session_id, "completion", summary="Done.")
        assert completion == {"posted": 0, "errors": [], "reason": NOT_BOUND}
        await post(worker, session_id, "status", status="completed")

    assert await waiting(make) == []


async def test_a_governors_session_is_told_where_a_worker_has_bound_it(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(
        worker, id=f"governor-{make.org_id}", provider_session_id="ses-linear"
    )

    answer = await act(worker, session_id)

    assert answer == {"forwarded": True, "linearSessionId": "ses-linear"}
    assert len(await waiting(make)) == 1


async def test_a_repeat_is_told_once(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answers = await asyncio.gather(
        *(act(worker, session_id, toolUseId="tu_1") for _ in range(5)),
        *(post(worker, session_id, "completion", summary="Done.") for _ in range(5)),
        *(post(worker, session_id, "progress", message="Green") for _ in range(5)),
    )

    assert all(answer["forwarded"] for answer in answers[:5])
    assert {answer["posted"] for answer in answers[5:10]} == {1}
    assert {answer["posted"] for answer in answers[10:]} == {True}
    assert sorted(kind for kind, _ in await waiting(make)) == ["activity", "activity", "comment"]


async def test_a_refused_activity_is_not_told(make, linear):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)

    answer = await other.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": other.id, "activity": {"type": "thought", "content": "Mine!"}},
    )

    assert answer.status_code == 403
    assert await waiting(make) == []


async def test_what_is_told_has_the_order_of_what_is_stored(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    await asyncio.gather(*(act(worker, session_id, content=f"step {n}") for n in range(24)))

    stored = await make.owner.execute(
        "select activity ->> 'content' as text from activities"
        " where org_id = %s and session_id = %s order by seq",
        (make.org_id, session_id),
    )
    told = [payload["content"]["body"] for _, payload in await waiting(make)]
    assert told == [row.text for row in await stored.fetchall()]


async def test_a_long_completion_is_several_comments_on_the_issue(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    plan = [{"title": "Write tests", "state": "completed"}]

    answer = await post(worker, session_id, "completion", summary="word " * 5_000, planItems=plan)

    told = await waiting(make)
    assert answer == {"posted": 3, "errors": []}
    assert {kind for kind, _ in told} == {"comment"}
    assert {what["issueId"] for _, what in told} == {(await make.stored(session_id)).issue_id}
    assert "- [x] Write tests" in told[-1][1]["body"]


async def test_what_ten_comments_do_not_hold_is_an_error_beside_them(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await post(worker, session_id, "completion", summary="x" * 120_000)

    assert answer["posted"] == 10
    assert answer["errors"] == ["21000 characters are beyond what 10 comments hold"]


async def test_a_completion_without_an_issue_has_nowhere_to_go(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker, issue_id="")

    answer = await post(worker, session_id, "completion", summary="Done.")

    assert answer == {"posted": 0, "errors": [], "reason": "the session has no issue"}


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ({"status": "completed"}, "The session is completed."),
        ({"status": "failed", "error": {"message": "it broke"}}, "The session failed: it broke"),
        ({"status": "stopped"}, "The session was stopped."),
    ],
)
async def test_the_end_closes_the_agent_session_once(make, linear, report, text):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    for _ in range(2):
        await post(worker, session_id, "status", **report)

    assert await waiting(make) == [("activity", {"content": {"type": "response", "body": text}})]


async def test_links_are_shown_once(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    urls = [{"label": "Pull request", "url": "https://github.com/acme/billing/pull/318"}]

    for _ in range(2):
        await post(worker, session_id, "external-urls", externalUrls=urls)

    assert await waiting(make) == [("external_urls", {"externalUrls": urls})]


async def test_a_broken_tool_becomes_an_issue_once(make, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answers = [
        await post(worker, session_id, "tool-error", toolName="Bash", errorMessage="no pnpm")
        for _ in range(2)
    ]

    ((kind, what),) = await waiting(make)
    assert answers == [{"created": True}] * 2
    assert kind == "issue"
    assert what["title"] == "Tool error: Bash: no pnpm"
    assert session_id in what["description"]
