"""People and programs put sessions into the queue."""

import asyncio

import psycopg
import pytest

from jobs.promote_parked import promote_parked
from jobs.prune import prune
from tests.contract.operations import CONTRACT

ISSUE = {"issueId": "issue-of-the-test", "issueIdentifier": "ENG-204"}

# One value for each member of QueuedWork that comes with the request.
MEMBERS = {
    "priority": 2,
    "prompt": "Check the refund in another currency",
    "providerSessionId": "prov-7",
    "workType": "qa",
    "sourceSessionId": "ses-of-the-development",
    "projectName": "billing",
    "repository": "https://github.com/acme/billing",
    "kits": {"go": {"version": "1.26"}},
    "model": "claude-sonnet-4-5",
    "subAgentModel": "claude-haiku-4-5",
    "tenantEnvelope": {"jwt": "a.b.c", "org": "acme", "proj": "billing", "sub": "x"},
    "repositoryId": "repo_1",
    "linearSessionId": "lin-1",
    "ref": "main",
    "branch": "eng-204",
    "env": {"LOG_LEVEL": "debug"},
    "maxDurationSeconds": 3600,
    "resources": {"vCpu": 2.5, "memoryMb": 4096},
    "projectScope": "services/billing",
    "title": "Keep the currency of a refund",
    "body": "A refund forgets its currency.",
    "promptContext": "<issue/>",
    "mentionContext": "@agent please",
    "parentContext": "Part of ENG-200",
    "resolvedProfile": {
        "runner": "go",
        "provider": "claude",
        "harness": "cli",
        "model": "m",
        "effort": "high",
        "credentialId": "cred_1",
        "providerConfig": {"a": 1},
        "authMode": "byok",
        "company": "acme",
        "platformAllowed": ["linux"],
        "servingHost": "api.example",
        "credentialRequirements": [{"anyOf": ["ANTHROPIC_API_KEY"]}],
        "endpoint": "https://api.example/v1",
    },
    "modelProfile": {
        "id": "mp_1",
        "providerId": "anthropic",
        "harness": "cli",
        "model": "m",
        "mode": "chat",
        "context": 200000,
        "maxOutputTokens": 32000,
    },
    "stagePrompt": "Do the stage",
    "stageId": "stage-1",
    "stageSourceEventId": "evt-1",
    "stageBudget": {"maxDurationSeconds": 600, "maxSubAgents": 2, "maxTokens": 100000},
    "stageLifecycle": {"next": "review"},
    "systemPromptOverride": "You are careful.",
    "allowedTools": ["Bash"],
    "disallowedTools": ["WebFetch"],
    "mcpServers": [{"name": "docs"}],
    "skills": [{"name": "refunds"}],
    "injectedPoolId": "shared_pool_anthropic",
}
BY_THE_SERVER = {
    "sessionId",
    "issueId",
    "issueIdentifier",
    "queuedAt",
    "organizationId",
    "projectId",
    "leaseEpoch",
    "mcpAuthToken",
    "mcpAuthTokenExpiresAt",
}


async def enqueue(make, key=None, caller=None, **body):
    return await (caller or make.org).post(
        "/api/sessions",
        json={"projectId": make.project_id, **ISSUE, **body},
        headers={"Idempotency-Key": key} if key else {},
    )


async def poll(worker):
    answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_every_member_of_queued_work_reaches_a_client_that_polls(make):
    worker = await make.worker()
    made = await enqueue(make, **MEMBERS, unheardOf={"kept": True})

    (work,) = (await poll(worker))["work"]

    assert made.status_code == 201, made.text
    assert {name: work.get(name) for name in MEMBERS} == MEMBERS
    assert work["unheardOf"] == {"kept": True}
    assert {name: work[name] for name in ISSUE} == ISSUE
    assert work["organizationId"] == make.org_id
    assert work["projectId"] == make.project_id
    assert all(work[name] for name in BY_THE_SERVER)
    assert work["sessionId"] == made.json()["session"]["sessionId"]


async def test_numbers_beyond_64_bits_come_back_as_they_came(make):
    kits = {"huge": 1e300, "whole": 2**70, "small": 1e-300}
    worker = await make.worker()
    made = await make.org.post(
        "/api/sessions", json={**ISSUE, "projectId": make.project_id, "kits": kits}
    )

    polled = await worker.client.get(f"/api/workers/{worker.id}/poll")

    assert made.status_code == 201, made.text
    assert polled.status_code == 200, polled.text
    assert polled.json()["work"][0]["kits"] == kits


async def test_a_claim_by_name_delivers_the_same_as_a_poll(make):
    worker = await make.worker()
    session_id = (await enqueue(make, **MEMBERS)).json()["session"]["sessionId"]

    claimed = await worker.client.post(
        f"/api/sessions/{session_id}/claim", json={"workerId": worker.id}
    )

    work = claimed.json()["work"]
    assert {name: work.get(name) for name in MEMBERS} == MEMBERS
    assert all(work[name] for name in BY_THE_SERVER)


def test_no_member_of_queued_work_is_left_out_above():
    """What another module of this server fills in has its own test there."""
    known = set(CONTRACT.spec["components"]["schemas"]["QueuedWork"]["properties"])
    asked = set(CONTRACT.spec["components"]["schemas"]["SessionRequest"]["properties"])

    assert asked - {"sessionId", "projectId", *ISSUE} == set(MEMBERS)
    assert set(MEMBERS) | BY_THE_SERVER <= known


async def test_what_only_the_server_may_say_is_not_taken_from_a_request(make):
    worker = await make.worker()
    await enqueue(
        make,
        organizationId="org_other",
        leaseEpoch=99,
        queuedAt=1,
        mcpAuthToken="mine",
        mcpAuthTokenExpiresAt="never",
    )

    (work,) = (await poll(worker))["work"]

    assert (work["organizationId"], work["leaseEpoch"]) == (make.org_id, 1)
    assert work["queuedAt"] > 1_700_000_000_000
    assert work["mcpAuthToken"].count(".") == 2
    assert work["mcpAuthTokenExpiresAt"] != "never"


async def test_a_session_is_queued_with_its_defaults_and_recorded(make, audit_log):
    answer = await enqueue(make)

    session = answer.json()["session"]
    assert (session["status"], session["priority"], session["workType"]) == (
        "queued",
        3,
        "development",
    )
    shown = await make.org.get(f"/api/public/sessions/{session['id']}")
    assert shown.json()["session"]["identifier"] == "ENG-204"
    assert await audit_log(of="session.queued") == [("session.queued", session["sessionId"])]
    actors = await make.owner.execute(
        "select actor_type from happened where org_id = %s and event_type = 'session.queued'",
        (make.org_id,),
    )
    assert [row.actor_type for row in await actors.fetchall()] == ["api_key"]


async def test_an_id_of_the_callers_own_is_taken_once(make):
    first = await enqueue(make, sessionId="governor-7")
    second = await enqueue(make, sessionId="governor-7", issueId="another")

    assert first.json()["session"]["sessionId"] == "governor-7"
    assert second.status_code == 409
    assert second.json()["error"] == "A session with the id governor-7 exists"


async def test_the_project_is_named_or_the_credentials_only_one(make):
    other = await make.project()
    bound = make.client(await make.key(projects=[other], scopes=["sessions:write"]))

    unnamed = await make.org.post("/api/sessions", json=ISSUE)
    by_header = await make.org.post(
        "/api/sessions", json=ISSUE, headers={"X-Rensei-Project": make.project_id}
    )
    only = await bound.post("/api/sessions", json=ISSUE)
    foreign = await bound.post("/api/sessions", json={**ISSUE, "projectId": make.project_id})

    assert (unnamed.status_code, foreign.status_code) == (400, 404)
    assert unnamed.json()["error"].startswith("projectId: ")
    assert by_header.json()["session"]["projectId"] == make.project_id
    assert only.json()["session"]["projectId"] == other


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"issueId": ""}, "body.issueId"),
        ({"priority": 0}, "body.priority"),
        ({"priority": "2"}, "body.priority"),
        ({"workType": "kg-extraction"}, "body.workType"),
        ({"env": {"A": 1}}, "body.env.A"),
        ({"env": {"A": "b\x00"}}, ""),
        ({"sessionId": "a/b"}, "body.sessionId"),
        ({"resolvedProfile": {"runner": "rust"}}, "body.resolvedProfile.runner"),
        ({"tenantEnvelope": {"jwt": "a.b.c"}}, "body.tenantEnvelope.org"),
        ({"injectedPoolId": "a pool"}, "body.injectedPoolId"),
        ({"maxDurationSeconds": 0}, "body.maxDurationSeconds"),
    ],
)
async def test_a_member_that_does_not_fit_is_400_and_named(make, body, place):
    answer = await enqueue(make, **body)

    assert answer.status_code == 400, answer.text
    assert place in answer.json()["error"]


# --- one session of an issue at a time ---


async def test_a_second_session_of_the_issue_is_parked_and_follows(make, run_job):
    worker = await make.worker()
    first = (await enqueue(make)).json()["session"]
    second = (await enqueue(make, workType="qa")).json()["session"]
    delivered = (await poll(worker))["claimedSessionIds"]

    await make.org.post(f"/api/public/sessions/{first['id']}/stop")
    await run_job(promote_parked)

    assert (first["status"], second["status"]) == ("queued", "parked")
    assert delivered == [first["sessionId"]]
    assert (await poll(worker))["claimedSessionIds"] == [second["sessionId"]]


async def test_who_names_another_projects_issue_is_not_in_its_way(make, run_job):
    scopes = ["sessions:read", "sessions:write"]
    theirs = await make.project()
    callers = [
        make.client(await make.key(projects=[project], scopes=scopes))
        for project in (make.project_id, theirs)
    ]

    async def statuses(caller):
        listed = (await caller.get("/api/public/sessions")).json()["sessions"]
        return sorted(each["status"] for each in listed)

    for caller in callers:
        for _ in range(2):
            answer = await caller.post("/api/sessions", json=ISSUE)
            assert answer.status_code == 201, answer.text
    begun = [await statuses(caller) for caller in callers]
    await make.owner.execute(
        "update sessions set status = 'stopped', holds_issue = false, finished_at = now()"
        " where org_id = %s and project_id = %s and holds_issue",
        (make.org_id, theirs),
    )
    await run_job(promote_parked)

    assert begun == [["parked", "queued"]] * 2
    assert [await statuses(each) for each in callers] == [
        ["parked", "queued"],
        ["queued", "stopped"],
    ]


async def test_ten_requests_for_an_issue_at_once_queue_one_and_park_one(make):
    answers = await asyncio.gather(*(enqueue(make, workType="qa") for _ in range(10)))

    rows = await make.owner.execute(
        "select status, waits_for, count(*) from sessions where org_id = %s group by 1, 2"
        " order by 1, 2",
        (make.org_id,),
    )
    assert [answer.status_code for answer in answers] == [201] * 10
    assert [tuple(row) for row in await rows.fetchall()] == [
        ("pending", "issue", 1),
        ("pending", None, 1),
        ("stopped", None, 8),
    ]


async def test_a_request_is_parked_when_another_takes_the_issue_while_it_is_stored(make, stores):
    """It fails when only the look before the write decides who holds the issue."""
    first = (await enqueue(make)).json()["session"]
    await make.org.post(f"/api/public/sessions/{first['id']}/stop")
    async with await psycopg.AsyncConnection.connect(stores.owner_url) as other:
        await other.execute(
            "update sessions set holds_issue = true where org_id = %s and id = %s",
            (make.org_id, first["sessionId"]),
        )
        request = asyncio.create_task(enqueue(make, workType="qa"))
        waiting = "select count(*) from pg_locks where not granted"
        async with asyncio.timeout(5):
            while not (await (await make.owner.execute(waiting)).fetchone())[0]:
                await asyncio.sleep(0.01)
        await other.commit()

    answer = await request
    assert (answer.status_code, answer.json()["session"]["status"]) == (201, "parked")


# --- Idempotency-Key ---


async def count(make):
    rows = await make.owner.execute(
        "select count(*) as n from sessions where org_id = %s", (make.org_id,)
    )
    return (await rows.fetchone()).n


async def test_a_repeat_under_the_same_key_is_answered_as_the_first_was(make):
    first = await enqueue(make, "k" * 255, prompt="a")
    again = await enqueue(make, "k" * 255, prompt="a")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert await count(make) == 1


async def test_another_request_under_the_same_key_is_422(make):
    await enqueue(make, "key-1", prompt="a")

    answer = await enqueue(make, "key-1", prompt="b")

    assert answer.status_code == 422
    assert answer.json()["error"] == "The Idempotency-Key was used for another request"
    assert await count(make) == 1


async def test_a_key_belongs_to_its_caller(make):
    other = make.client(await make.key(scopes=["sessions:write"]))

    mine = await enqueue(make, "key-1", prompt="a")
    theirs = await enqueue(make, "key-1", caller=other, prompt="b")

    assert theirs.status_code == 201
    assert mine.json() != theirs.json()


async def test_a_key_of_256_characters_or_none_is_400(make):
    long = await enqueue(make, "k" * 256)
    empty = await make.org.post(
        "/api/sessions",
        json={**ISSUE, "projectId": make.project_id},
        headers={"Idempotency-Key": ""},
    )

    assert (long.status_code, empty.status_code) == (400, 400)
    assert await count(make) == 0


async def test_twenty_repeats_at_once_make_one_session(make):
    answers = await asyncio.gather(*(enqueue(make, "key-1") for _ in range(20)))

    made = [answer.json() for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer.status_code != 201]
    assert made
    assert all(each == made[0] for each in made)
    assert {answer.status_code for answer in others} <= {409}
    assert await count(make) == 1
    assert (await enqueue(make, "key-1")).json() == made[0]


async def test_while_the_first_is_in_flight_a_repeat_is_409(make):
    """The key is held here as the first request holds it, by a transaction that has not ended."""
    await enqueue(make, "key-0")  # tells the caller's id
    rows = await make.owner.execute(
        "select caller_id from idempotency_keys where org_id = %s", (make.org_id,)
    )
    held = f"{make.org_id}\n{(await rows.fetchone()).caller_id}\nenqueueSession\nkey-1"

    async with make.owner.transaction():
        await make.owner.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (held,))
        during = await enqueue(make, "key-1")
    after = await enqueue(make, "key-1")

    assert during.status_code == 409
    assert "in flight" in during.json()["error"]
    assert after.status_code == 201


async def test_a_refused_request_leaves_its_key_free(make):
    await enqueue(make, sessionId="taken")
    refused = await enqueue(make, "key-1", sessionId="taken")

    answer = await enqueue(make, "key-1", sessionId="free")

    assert (refused.status_code, answer.status_code) == (409, 201)


async def test_a_day_later_the_key_is_new_and_its_answer_forgotten(make, run_job):
    await enqueue(make, "key-1", prompt="a")
    await enqueue(make, "key-2", prompt="a")
    await make.owner.execute(
        "update idempotency_keys set created_at = now() - interval '24 hours' where org_id = %s",
        (make.org_id,),
    )

    anew = await enqueue(make, "key-1", prompt="b")
    forgotten = await run_job(prune)

    assert anew.status_code == 201
    assert forgotten >= 1
    rows = await make.owner.execute(
        "select key from idempotency_keys where org_id = %s", (make.org_id,)
    )
    assert [row.key for row in await rows.fetchall()] == ["key-1"]
