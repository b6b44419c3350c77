"""Interviews: made, claimed, spoken to, answered."""

import asyncio
from dataclasses import replace

import pytest

import settings
from domain.interviews import MOST_TURNS
from jobs.prune import prune
from persistence import interview_frames

ASKED = {"initialPrompt": "Ask me about refunds"}


async def poll(worker):
    return (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()


async def say(worker, session_id, *texts, turn="turn-0", start=0, done=False, **more):
    frames = [
        {"index": n, "text": text, "done": done and n == start + len(texts) - 1}
        for n, text in enumerate(texts, start)
    ]
    return await worker.client.post(
        f"/api/sessions/{session_id}/token-delta", json={"turnId": turn, "frames": frames, **more}
    )


async def speak(make, interview_id, text="Euro and pound", caller=None, **more):
    return await (caller or make.org).post(
        f"/api/interview/{interview_id}/turns", json={"text": text, **more}
    )


async def held(make, **body):
    """A worker with an interview that it has claimed."""
    worker = await make.worker()
    interview_id, session_id = await make.interview(**body)
    assert session_id in (await poll(worker))["claimedSessionIds"]
    return worker, interview_id, session_id


async def report(worker, session_id, status):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert answer.status_code == 200, answer.text


async def kept(make, session_id):
    """(number of turn, index, text) of every frame that is stored."""
    rows = await make.owner.execute(
        "select turn, index, text from interview_frames where org_id = %s and session_id = %s"
        " order by turn, index",
        (make.org_id, session_id),
    )
    return [tuple(row) for row in await rows.fetchall()]


# --- making one ------------------------------------------------------------------------------


async def test_an_interview_is_queued_and_claimed_like_any_session(make, audit_log):
    worker = await make.worker()
    definition = {"questions": [{"ask": "Which currency?"}], "depth": 2.5, "more": None}
    budget = {"maxWallClockSeconds": 600, "idleGraceSeconds": 60, "perQuestionSeconds": 30}

    answer = await make.org.post(
        "/api/interview",
        json={
            **ASKED,
            "projectId": make.project_id,
            "title": "Refunds",
            "interviewBudget": budget,
            "interviewDefinition": definition,
            "repository": "https://github.com/acme/billing",
        },
    )
    (work,) = (await poll(worker))["work"]

    assert answer.status_code == 201
    interview = answer.json()["interview"]
    assert work["sessionId"] == interview["sessionId"]
    assert (work["mode"], work["workType"], work["priority"]) == ("interview", "interview", 2)
    assert work["initialPrompt"] == "Ask me about refunds"
    assert work["interviewBudget"] == budget
    assert work["interviewDefinition"] == interview["interviewDefinition"] == definition
    assert work["repository"] == "https://github.com/acme/billing"
    assert work["title"] == interview["title"] == "Refunds"
    assert (work["issueId"], work["issueIdentifier"]) == ("", "")
    assert interview["status"] == "queued"
    assert interview["interviewBudget"] == {"maxWallClockSeconds": 600, "idleGraceSeconds": 60}
    assert await audit_log() == [
        ("worker.registered", worker.id),
        ("session.queued", interview["sessionId"]),
        ("interview.created", interview["id"]),
        ("session.claimed", interview["sessionId"]),
    ]


async def test_an_interview_shows_where_its_session_stands(make):
    _worker, interview_id, _session_id = await held(make, mode="interactive")

    answer = await make.org.get(f"/api/interview/{interview_id}")
    interview = answer.json()["interview"]
    listed = await make.org.get(f"/api/public/sessions/{interview['publicSessionId']}")
    stopped = await make.org.post(f"/api/public/sessions/{interview['publicSessionId']}/stop")
    after = await make.org.get(f"/api/interview/{interview_id}")

    assert (interview["mode"], interview["status"]) == ("interactive", "working")
    assert listed.json()["session"]["workType"] == "interview"
    assert listed.json()["session"]["identifier"] == "Unknown"
    assert stopped.status_code == 200
    assert after.json()["interview"]["status"] == "stopped"


async def test_the_project_is_the_keys_only_one_or_the_one_that_is_named(make):
    other = await make.project()
    of_one = make.client(await make.key(projects=[other], scopes=["sessions:write"]))
    named = {"X-Rensei-Project": other}

    alone = await of_one.post("/api/interview", json=ASKED)
    by_header = await make.org.post("/api/interview", json=ASKED, headers=named)
    unnamed = await make.org.post("/api/interview", json=ASKED)
    unknown = await make.org.post("/api/interview", json={**ASKED, "projectId": "proj_0"})
    unseen = await of_one.post("/api/interview", json={**ASKED, "projectId": make.project_id})

    assert alone.json()["interview"]["projectId"] == other
    assert by_header.json()["interview"]["projectId"] == other
    assert unnamed.status_code == 400
    assert "projectId" in unnamed.json()["error"]
    assert (unknown.status_code, unseen.status_code) == (404, 404)


async def test_a_key_makes_one_interview_however_often_and_however_many_ask_at_once(make):
    body = {**ASKED, "projectId": make.project_id, "idempotencyKey": "form-1"}

    answers = await asyncio.gather(*(make.org.post("/api/interview", json=body) for _ in range(8)))
    other = await make.org.post("/api/interview", json={**body, "initialPrompt": "Something else"})
    fresh = await make.org.post("/api/interview", json={**body, "idempotencyKey": "form-2"})

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["interview"]["id"] for answer in answers}) == 1
    assert other.status_code == 409
    assert fresh.json()["interview"]["id"] != answers[0].json()["interview"]["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"initialPrompt": " "},
        {"initialPrompt": "x" * 200_001},
        {**ASKED, "mode": "headless"},
        {**ASKED, "priority": 0},
        {**ASKED, "interviewBudget": {"maxWallClockSeconds": 0}},
        {**ASKED, "interviewBudget": 5},
        {**ASKED, "title": ""},
    ],
)
async def test_a_request_that_makes_no_interview_is_400(make, body):
    answer = await make.org.post("/api/interview", json={"projectId": make.project_id, **body})

    assert answer.status_code == 400


# --- speaking to the agent -------------------------------------------------------------------


async def test_what_somebody_says_reaches_the_agent_with_the_turn_that_answers_it(make):
    worker, interview_id, session_id = await held(make)
    await report(worker, session_id, "running")

    answer = await speak(make, interview_id)
    (message,) = (await poll(worker))["inboxMessages"][session_id]
    second = await speak(make, interview_id, "And the yen")

    assert answer.status_code == 201
    assert (answer.json()["turnId"], answer.json()["status"]) == ("turn-1", "working")
    assert (message["turnId"], message["kind"], message["lane"]) == ("turn-1", "user", "urgent")
    assert message["text"] == message["payload"] == "Euro and pound"
    assert second.json()["turnId"] == "turn-2"
    shown = (await make.org.get(f"/api/interview/{interview_id}")).json()["interview"]
    assert shown["turnsSent"] == 2


async def test_what_is_said_before_a_worker_came_is_delivered_after_the_claim(make):
    worker = await make.worker()
    interview_id, session_id = await make.interview()

    answer = await speak(make, interview_id)
    assert session_id in (await poll(worker))["claimedSessionIds"]
    await report(worker, session_id, "running")
    (message,) = (await poll(worker))["inboxMessages"][session_id]

    assert (answer.json()["turnId"], answer.json()["status"]) == ("turn-1", "queued")
    assert message["turnId"] == "turn-1"


async def test_a_repeat_is_delivered_once_and_answered_alike(make):
    worker, interview_id, session_id = await held(make)
    await report(worker, session_id, "running")

    first = await speak(make, interview_id, idempotencyKey="k")
    again = await speak(make, interview_id, idempotencyKey="k")
    other = await speak(make, interview_id, "Something else", idempotencyKey="k")

    assert first.json() == again.json()
    assert other.status_code == 409
    assert len((await poll(worker))["inboxMessages"][session_id]) == 1


async def test_many_who_speak_at_once_get_turns_of_their_own(make):
    _worker, interview_id, _session_id = await held(make)

    answers = await asyncio.gather(*(speak(make, interview_id, f"{n}") for n in range(10)))

    turns = sorted(int(answer.json()["turnId"].removeprefix("turn-")) for answer in answers)
    assert turns == list(range(1, 11))


async def test_a_prompt_to_the_session_is_a_turn_as_well(make):
    worker, _interview_id, session_id = await held(make)
    await report(worker, session_id, "running")
    public_id = (await make.stored(session_id)).public_id

    await make.org.post(f"/api/public/sessions/{public_id}/prompt", json={"prompt": "Go on"})
    (message,) = (await poll(worker))["inboxMessages"][session_id]
    other = await make.claimed(worker)
    await report(worker, other, "running")
    public_id = (await make.stored(other)).public_id
    await make.org.post(f"/api/public/sessions/{public_id}/prompt", json={"prompt": "Go on"})
    (plain,) = (await poll(worker))["inboxMessages"][other]

    assert message["turnId"] == "turn-1"
    assert "turnId" not in plain


async def test_an_ended_interview_takes_no_turns(make):
    interview_id, session_id = await make.interview()
    await make.end(session_id)

    answer = await speak(make, interview_id)

    assert answer.status_code == 409
    assert answer.json()["error"] == "The interview is completed and takes no more turns"


async def test_an_interview_of_others_is_not_there(make):
    interview_id, _ = await make.interview()
    foreign = make.client(await make.key(await make.organization()))
    apart = make.client(
        await make.key(projects=[await make.project()], scopes=["sessions:read", "sessions:write"])
    )

    for caller in (foreign, apart):
        for answer in (
            await caller.get(f"/api/interview/{interview_id}"),
            await caller.get(f"/api/interview/{interview_id}/stream"),
            await speak(make, interview_id, caller=caller),
        ):
            assert (answer.status_code, answer.json()) == (404, {"error": "Interview not found"})


# --- the agent's frames ----------------------------------------------------------------------


async def test_frames_are_kept_once_by_turn_and_index(make):
    worker, _, session_id = await held(make)

    first = await say(worker, session_id, "Which ", "currency?", done=True)
    repeated = await say(worker, session_id, "Which ", "currency?", done=True)
    changed = await say(worker, session_id, "What ", turn="turn-0")
    await say(worker, session_id, "Thanks", turn="turn-1")

    assert [first.json(), repeated.json(), changed.json()] == [
        {"published": 2},
        {"published": 2},
        {"published": 1},
    ]
    assert await kept(make, session_id) == [
        (1, 0, "Which "),
        (1, 1, "currency?"),
        (2, 0, "Thanks"),
    ]


async def test_posts_that_overlap_all_at_once_keep_each_frame_once(make):
    """Of many turns too, whose numbers are given out meanwhile."""
    worker, _, session_id = await held(make)

    answers = await asyncio.gather(
        *(
            say(worker, session_id, *"abcdef", turn=f"turn-{turn}", start=start)
            for turn in range(4)
            for start in (0, 3, 0, 6, 3)
        )
    )

    assert {answer.status_code for answer in answers} == {200}
    frames = await kept(make, session_id)
    numbers = sorted({turn for turn, _, _ in frames})
    assert len(numbers) == 4
    assert [(turn, index) for turn, index, _ in frames] == [
        (turn, index) for turn in numbers for index in range(12)
    ]


async def test_frames_out_of_order_and_twice_in_one_post_are_kept_in_order(make):
    worker, _, session_id = await held(make)

    answer = await worker.client.post(
        f"/api/sessions/{session_id}/token-delta",
        json={
            "turnId": "turn-0",
            "frames": [{"index": n, "text": str(n)} for n in (2, 0, 1, 2)],
        },
    )

    assert answer.json() == {"published": 4}
    assert await kept(make, session_id) == [(1, 0, "0"), (1, 1, "1"), (1, 2, "2")]


async def test_a_post_renews_the_lease_but_not_with_every_post(make):
    worker, _, session_id = await held(make)
    await say(worker, session_id, "a")
    assert (await make.stored(session_id)).confirmed
    await make.owner.execute(
        "update sessions set last_call_at = now() - interval '10 seconds' where id = %s",
        (session_id,),
    )

    await say(worker, session_id, "b", start=1)
    renewed = (await make.stored(session_id)).last_call_at
    await say(worker, session_id, "c", start=2)

    assert (await make.stored(session_id)).last_call_at == renewed
    rows = await make.owner.execute(
        "select %s > now() - interval '5 seconds' as is_new", (renewed,)
    )
    assert (await rows.fetchone()).is_new


async def test_whoever_has_the_sessions_row_holds_up_no_frames(make, stores):
    import psycopg

    worker, _, session_id = await held(make)
    await say(worker, session_id, "a")
    async with await psycopg.AsyncConnection.connect(stores.owner_url) as other:
        await other.execute(
            "update sessions set last_call_at = last_call_at - interval '1 minute' where id = %s",
            (session_id,),
        )
        await other.commit()
        await other.execute("select 1 from sessions where id = %s for update", (session_id,))
        async with asyncio.timeout(2):
            assert (await say(worker, session_id, "b", start=1)).status_code == 200


async def test_the_registration_key_posts_for_whichever_of_its_workers_holds_the_session(make):
    worker, _, session_id = await held(make)
    by_key = replace(worker, client=make.client(make.worker_key))
    other = await make.worker()

    plain = await say(by_key, session_id, "a")
    named = await say(by_key, session_id, "b", start=1, workerId=worker.id)
    wrong = await say(by_key, session_id, "c", start=2, workerId=other.id)

    assert (plain.status_code, named.status_code, wrong.status_code) == (200, 200, 403)
    assert len(await kept(make, session_id)) == 2


async def test_who_does_not_hold_the_session_is_refused(make):
    worker, _, session_id = await held(make)
    other = await make.worker()
    stranger = await make.worker(await make.key(projects=[make.project_id]))
    elsewhere = await make.project()
    far = await make.worker(await make.key(projects=[elsewhere]))
    stale = await say(worker, session_id, "x", leaseEpoch=0)
    foreign_key = await make.key(await make.organization(), projects="all")

    for refused in (await say(other, session_id, "x"), await say(stranger, session_id, "x"), stale):
        assert refused.status_code == 403
        assert "owned by another worker" in refused.json()["error"]
    assert (await say(far, session_id, "x")).status_code == 404
    assert (
        await say(replace(worker, client=make.client(foreign_key)), session_id, "x")
    ).status_code == 404
    assert await kept(make, session_id) == []


async def test_a_session_that_waits_or_is_no_interview_takes_no_frames(make):
    worker = await make.worker()
    plain = await make.claimed(worker)
    _, waiting = await make.interview()

    none = await say(worker, plain, "x")
    unknown = await say(worker, "interview-0", "x")
    early = await say(worker, waiting, "x")

    assert (none.status_code, none.json()["error"]) == (404, "The session is no interview")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "Session not found")
    assert early.status_code == 403


async def test_the_last_frames_may_come_a_moment_after_the_end_and_no_later(make):
    worker, _, session_id = await held(make)
    await report(worker, session_id, "running")
    await report(worker, session_id, "completed")

    in_time = await say(worker, session_id, "Good bye", done=True)
    await make.end(session_id)
    late = await say(worker, session_id, "again", start=1)

    assert in_time.status_code == 200
    assert late.status_code == 409
    assert late.json()["error"] == "The session has ended and takes no more frames"
    assert await kept(make, session_id) == [(1, 0, "Good bye")]


async def test_a_lost_session_comes_back_with_its_last_owners_frames_and_goes_on(make):
    worker, _, session_id = await held(make)
    await say(worker, session_id, "Which ")
    await make.owner.execute(
        "update sessions set status = 'pending', worker_id = null, slot_worker_id = null,"
        " lost_by_worker_id = %s, lost_status = 'running', lost_at = now() where id = %s",
        (worker.id, session_id),
    )

    answer = await say(worker, session_id, "currency?", start=1)

    assert answer.status_code == 200
    assert (await make.stored(session_id)).status == "running"
    assert await kept(make, session_id) == [(1, 0, "Which "), (1, 1, "currency?")]


async def test_who_claims_an_interview_anew_begins_it_anew(make):
    """Its `turn-0` is another one: nothing of it is taken for a repeat."""
    first, _, session_id = await held(make)
    await say(first, session_id, "Hello", "there")
    assert (await first.client.delete(f"/api/workers/{first.id}")).status_code == 200
    second = await make.worker()
    assert session_id in (await poll(second))["claimedSessionIds"]

    await say(second, session_id, "Good day")
    stale = await say(first, session_id, "!", start=2)

    assert await kept(make, session_id) == [(1, 0, "Hello"), (1, 1, "there"), (2, 0, "Good day")]
    assert stale.status_code in {403, 404}


FRAME = {"index": 0, "text": "x"}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "turnId"),
        ({"turnId": "turn-0"}, "frames"),
        ({"turnId": "", "frames": [FRAME]}, "turnId"),
        ({"turnId": "t" * 201, "frames": [FRAME]}, "turnId"),
        ({"turnId": "turn-0", "frames": []}, "frames"),
        ({"turnId": "turn-0", "frames": [FRAME] * 501}, "frames"),
        ({"turnId": "turn-0", "frames": ["x"]}, "frames[0]"),
        ({"turnId": "turn-0", "frames": [FRAME, {"text": "x"}]}, "frames[1].index"),
        ({"turnId": "turn-0", "frames": [{"index": 0}]}, "frames[0].text"),
        ({"turnId": "turn-0", "frames": [{**FRAME, "index": -1}]}, "frames[0].index"),
        ({"turnId": "turn-0", "frames": [{**FRAME, "index": 1_000_000}]}, "frames[0].index"),
        ({"turnId": "turn-0", "frames": [{**FRAME, "index": 1.5}]}, "frames[0].index"),
        ({"turnId": "turn-0", "frames": [{**FRAME, "text": "x" * 16_001}]}, "frames[0].text"),
        ({"turnId": "turn-0", "frames": [{**FRAME, "text": "a\0b"}]}, "body"),
        ({"turnId": "turn-0", "frames": [{**FRAME, "done": "yes"}]}, "frames[0].done"),
    ],
)
async def test_frames_that_are_none_are_400_and_the_place_is_named(make, body, place):
    worker, _, session_id = await held(make)

    answer = await worker.client.post(f"/api/sessions/{session_id}/token-delta", json=body)

    assert answer.status_code == 400
    assert place in answer.json()["error"]
    assert await kept(make, session_id) == []


async def test_a_post_that_is_too_long_is_413(make):
    worker, _, session_id = await held(make)
    frames = [{"index": n, "text": "x" * 16_000} for n in range(200)]

    answer = await worker.client.post(
        f"/api/sessions/{session_id}/token-delta", json={"turnId": "turn-0", "frames": frames}
    )

    assert answer.status_code == 413


async def test_an_interview_has_so_many_turns_and_no_more(make):
    worker, _, session_id = await held(make)
    await say(worker, session_id, "a")
    await make.owner.execute(
        "update interviews set turns_begun = %s where session_id = %s", (MOST_TURNS, session_id)
    )

    known = await say(worker, session_id, "b", start=1)
    another = await say(worker, session_id, "c", turn="turn-1")

    assert known.status_code == 200
    assert another.status_code == 400
    assert str(MOST_TURNS) in another.json()["error"]


async def test_a_post_of_frames_is_one_statement(make, monkeypatch):
    worker, _, session_id = await held(make)
    await say(worker, session_id, "a")
    asked = []
    hot = interview_frames.database.hot

    async def counting(sql, values):
        asked.append(sql)
        return await hot(sql, values)

    monkeypatch.setattr(interview_frames.database, "hot", counting)
    await say(worker, session_id, "b", start=1)

    assert asked == [interview_frames.STORE]


# --- the tracker -----------------------------------------------------------------------------


async def test_the_tracker_hears_nothing_of_an_interview(make, linear):
    worker, _interview_id, session_id = await held(make)
    await worker.client.post(
        f"/api/sessions/{session_id}/status",
        json={"workerId": worker.id, "status": "running", "providerSessionId": "prov-1"},
    )

    said = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": worker.id, "activity": {"type": "thought", "content": "Hm"}},
    )
    await report(worker, session_id, "completed")

    assert said.json() == {
        "forwarded": False,
        "linearSessionId": session_id,
        "reason": "the session is not bound to Linear",
    }
    rows = await make.owner.execute("select 1 from outbox where org_id = %s", (make.org_id,))
    assert await rows.fetchall() == []


# --- pruning ---------------------------------------------------------------------------------


async def test_old_turns_are_dropped_and_the_one_in_hand_is_not(make, run_job, given):
    worker, _, session_id = await held(make)
    for turn in range(3):
        await say(worker, session_id, "a", "b", turn=f"turn-{turn}")
    await age(make, session_id, "2 days", below=3)

    await run_job(prune)
    assert {turn for turn, _, _ in await kept(make, session_id)} == {3}
    await age(make, session_id, "2 days", below=4)
    await run_job(prune)
    assert {turn for turn, _, _ in await kept(make, session_id)} == {3}
    late = await say(worker, session_id, "c", turn="turn-0", start=2)
    await make.end(session_id)
    await run_job(prune)

    assert late.json() == {"published": 1}
    assert await kept(make, session_id) == []


async def test_the_setting_says_how_long_frames_are_kept(make, run_job, given):
    worker, _, session_id = await held(make)
    await say(worker, session_id, "a")
    await make.end(session_id)
    await age(make, session_id, "30 minutes")

    await run_job(prune)
    before = await kept(make, session_id)
    settings.use(replace(given, frames_kept_seconds=600.0))
    try:
        await run_job(prune)
    finally:
        settings.use(given)

    assert len(before) == 1
    assert await kept(make, session_id) == []


async def test_more_turns_than_one_statement_prunes_are_all_pruned(make, run_job):
    _interview_id, session_id = await make.interview()
    await make.owner.execute(
        "insert into interview_turns (org_id, session_id, number, claimed_at, turn_id, begun_at)"
        " select %s, %s, n, now(), 'turn-' || n, now() - interval '2 days'"
        " from generate_series(1, 250) n",
        (make.org_id, session_id),
    )
    await make.end(session_id)

    counts = await asyncio.gather(run_job(prune), run_job(prune))

    assert sum(counts) >= 250
    assert await run_job(prune) == 0


async def age(make, session_id, by, below=1000):
    await make.owner.execute(
        "update interview_turns set begun_at = now() - %s::interval"
        " where session_id = %s and number < %s",
        (by, session_id, below),
    )
