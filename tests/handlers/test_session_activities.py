"""What the agent did, read by workers, by links, and by keys."""

import asyncio
import hashlib
import os
import secrets
import time

import pytest

from persistence import session_activities
from tests import costs

URL = "/api/public/session-activities"
SHARE = float(os.environ.get("PROVE_SHARE", "1"))


def link(session_id):
    return hashlib.sha256(f"session:{session_id}".encode()).hexdigest()[:32]


async def done(worker, session_id, *contents, **activity):
    for content in contents:
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/activity",
            json={
                "workerId": worker.id,
                "activity": {"type": "thought", "content": content, **activity},
            },
        )
        assert answer.status_code == 200, answer.text


async def started(make, *contents):
    """A worker, and the id of a session of it with these activities."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await done(worker, session_id, *contents)
    return worker, session_id


async def allow_links(make):
    answer = await make.org.patch(
        f"/api/org/{make.org_id}/settings", json={"sessionHashLinks": True}
    )
    assert answer.json()["settings"]["sessionHashLinks"] is True


def contents(answer):
    assert answer.status_code == 200, answer.text
    return [each["content"] for each in answer.json()["activities"]]


# --- what is shown ---


async def test_activities_come_oldest_first_as_they_were_posted(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    told = "2026-06-03T08:17:02.118123456Z"
    await done(worker, session_id, "Ran", type="action", toolName="Bash", timestamp=told)
    await done(
        worker, session_id, "Branch", type="context", contextKey="git", contextValue={"at": None}
    )
    await done(worker, session_id, "Hm", toolInput={"a": 1}, toolOutput="long", contextKey="no")

    answer = (await make.org.get(URL, params={"sessionId": session_id})).json()

    stored = [each.pop("timestamp") for each in answer["activities"]]
    assert stored[0] == told
    assert all(each.endswith("Z") for each in stored)
    assert answer == {
        "activities": [
            {"id": "1", "type": "action", "content": "Ran", "toolName": "Bash"},
            {
                "id": "2",
                "type": "context",
                "content": "Branch",
                "contextKey": "git",
                "contextValue": {"at": None},
            },
            {"id": "3", "type": "thought", "content": "Hm"},
        ],
        "cursor": "3",
        "sessionStatus": "working",
    }


async def test_a_cursor_brings_what_came_after_and_is_echoed_when_nothing_did(make):
    _, session_id = await started(make, "a", "b", "c")

    after = {
        name: await make.org.get(URL, params={"sessionId": session_id, name: "1"})
        for name in ("cursor", "after")
    }
    nothing = await make.org.get(URL, params={"sessionId": session_id, "cursor": "3"})
    far = await make.org.get(URL, params={"sessionId": session_id, "cursor": "9" * 200})

    assert contents(after["cursor"]) == contents(after["after"]) == ["b", "c"]
    assert (contents(nothing), nothing.json()["cursor"]) == ([], "3")
    assert contents(far) == []


@pytest.mark.parametrize("cursor", ["", "yesterday", "-2", "1.5", "٣"])
async def test_a_cursor_that_is_no_number_returns_everything(make, cursor):
    _, session_id = await started(make, "a", "b")

    answer = await make.org.get(URL, params={"sessionId": session_id, "cursor": cursor})

    assert contents(answer) == ["a", "b"]


async def test_a_first_empty_reading_has_no_cursor(make):
    session_id = await make.session()

    answer = await make.org.get(URL, params={"sessionId": session_id})

    assert answer.json() == {"activities": [], "sessionStatus": "queued"}


async def test_a_thousand_activities_at_once_and_the_rest_by_cursor(make):
    session_id = await make.session(activity_count=1500)
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity)"
        " select %s, %s, n, 'thought', jsonb_build_object('type', 'thought', 'content', n::text)"
        " from generate_series(1, 1500) n",
        (make.org_id, session_id),
    )

    first = await make.org.get(URL, params={"sessionId": session_id})
    second = await make.org.get(
        URL, params={"sessionId": session_id, "cursor": first.json()["cursor"]}
    )

    assert contents(first) + contents(second) == [str(n) for n in range(1, 1501)]
    assert len(first.json()["activities"]) == 1000


async def test_long_activities_make_a_shorter_answer(make):
    session_id = await make.session(activity_count=60)
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity)"
        " select %s, %s, n, 'thought',"
        " jsonb_build_object('type', 'thought', 'content', repeat('x', 200000))"
        " from generate_series(1, 60) n",
        (make.org_id, session_id),
    )

    seen, cursor = 0, "0"
    while True:
        answer = await make.org.get(URL, params={"sessionId": session_id, "cursor": cursor})
        assert len(answer.content) < 5_000_000
        if not answer.json()["activities"]:
            break
        seen += len(answer.json()["activities"])
        cursor = answer.json()["cursor"]

    assert seen == 60


async def test_an_ended_session_keeps_its_activities(make):
    worker, session_id = await started(make, "a")
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "completed"}
    )

    answer = await make.org.get(URL, params={"sessionId": session_id})

    assert contents(answer) == ["a"]
    assert answer.json()["sessionStatus"] == "completed"


# --- who may read ---


async def test_a_key_reads_by_either_id(make):
    _, session_id = await started(make, "a")
    public_id = (await make.stored(session_id)).public_id
    reader = make.client(await make.key(scopes=["sessions:read"], projects=[make.project_id]))

    for caller in (make.org, reader):
        for name in (session_id, public_id):
            assert contents(await caller.get(URL, params={"sessionId": name})) == ["a"]


async def test_a_worker_reads_by_the_trackers_id_alone(make):
    worker, session_id = await started(make, "a")
    public_id = (await make.stored(session_id)).public_id
    registration = make.client(
        await make.key(scopes=["worker:session"], projects=[make.project_id])
    )

    for caller in (worker.client, registration):
        assert contents(await caller.get(URL, params={"sessionId": session_id})) == ["a"]
        answer = await caller.get(URL, params={"sessionId": public_id})
        assert (answer.status_code, answer.json()["error"]) == (404, "Session not found")


async def test_another_project_or_organization_is_not_found(make):
    _, session_id = await started(make, "a")
    public_id = (await make.stored(session_id)).public_id
    elsewhere = await make.project()
    stranger = await make.worker(key=await make.key(projects=[elsewhere]))
    reader = make.client(await make.key(scopes=["sessions:read"], projects=[elsewhere]))
    other_org = await make.organization()
    foreign = make.client(await make.key(other_org))

    for caller in (stranger.client, reader, foreign):
        for name in (session_id, public_id):
            assert (await caller.get(URL, params={"sessionId": name})).status_code == 404


async def test_the_headers_choose_within_what_the_credential_sees(make):
    _, session_id = await started(make, "a")
    elsewhere = await make.project()
    asked = {"sessionId": session_id}

    here = await make.org.get(URL, params=asked, headers={"X-Rensei-Project": make.project_id})
    there = await make.org.get(URL, params=asked, headers={"X-Rensei-Project": elsewhere})
    foreign = await make.org.get(URL, params=asked, headers={"X-Rensei-Org": "another"})

    assert (here.status_code, there.status_code, foreign.status_code) == (200, 404, 404)


async def test_a_key_without_either_scope_is_forbidden(make):
    session_id = await make.session()
    key = await make.key(scopes=["projects:read"])

    answer = await make.client(key).get(URL, params={"sessionId": session_id})

    assert answer.status_code == 403
    assert answer.json()["error"] == "The credential lacks the scope sessions:read"


async def test_the_system_key_reads_no_sessions(make):
    session_id = await make.session()

    assert (await make.system.get(URL, params={"sessionId": session_id})).status_code == 403


@pytest.mark.parametrize("scopes", [["worker:session", "worker:register"], ["sessions:read"]])
async def test_a_revoked_key_is_refused_at_once(make, scopes):
    session_id = await make.session()
    key = await make.key_answer(scopes=scopes, projects=[make.project_id])
    caller = make.client(key["fullKey"])
    assert (await caller.get(URL, params={"sessionId": session_id})).status_code == 200

    await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")

    assert (await caller.get(URL, params={"sessionId": session_id})).status_code == 401


async def test_a_runtime_token_ends_with_its_registration(make):
    key = await make.key_answer(projects=[make.project_id])
    worker = await make.worker(key=key["fullKey"])
    session_id = await make.claimed(worker)

    await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")

    answer = await worker.client.get(URL, params={"sessionId": session_id})
    assert answer.status_code == 401


# --- links ---


async def test_a_link_reads_without_a_credential_once_the_organization_allows_it(make, anonymous):
    _, session_id = await started(make, "a")
    asked = {"sessionId": session_id, "sessionHash": link(session_id)}

    before = await anonymous.get(URL, params=asked)
    await allow_links(make)
    allowed = await anonymous.get(URL, params=asked)

    assert (before.status_code, before.json()["error"]) == (404, "Session not found")
    assert contents(allowed) == ["a"]


async def test_the_hash_is_that_of_the_contracts_example():
    assert link("7c0f4a52-9b1e-4d0e-8d2b-3f6a1c9e5b77") == "f8afca655a047c79b75b3a72b0792c43"


async def test_a_link_to_the_public_id_is_not_found(make, anonymous):
    _, session_id = await started(make, "a")
    await allow_links(make)
    public_id = (await make.stored(session_id)).public_id

    for proof in (link(session_id), link(public_id)):
        for caller in (anonymous, make.org):
            answer = await caller.get(URL, params={"sessionId": public_id, "sessionHash": proof})
            assert answer.status_code == 404


async def test_a_wrong_hash_is_refused_even_beside_a_good_key(make, anonymous):
    _, session_id = await started(make, "a")
    await allow_links(make)
    asked = {"sessionId": session_id, "sessionHash": link("another")}

    for caller in (anonymous, make.org):
        answer = await caller.get(URL, params=asked)
        assert answer.status_code == 401


async def test_a_link_beside_a_bad_credential_is_refused(make, anonymous):
    __, session_id = await started(make, "a")
    await allow_links(make)
    asked = {"sessionId": session_id, "sessionHash": link(session_id)}

    for headers in (
        {"Authorization": "Bearer rsk_live_" + "0" * 64},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Cookie": "wos-session=nobody"},
        {"Cookie": "wos-session="},
    ):
        answer = await anonymous.get(URL, params=asked, headers=headers)
        assert answer.status_code == 401, headers


async def test_nobody_without_a_link_is_refused(make, anonymous):
    session_id = await make.session()
    await allow_links(make)

    answer = await anonymous.get(URL, params={"sessionId": session_id})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"]


async def test_an_id_in_two_organizations_means_the_session_that_was_first(make, anonymous):
    _, session_id = await started(make, "mine")
    await allow_links(make)
    other_org = await make.organization()
    other_project = await make.project(other_org)
    await make.system.patch(f"/api/org/{other_org}/settings", json={"sessionHashLinks": True})
    await make.session(
        other_project, org_id=other_org, id=session_id, public_id=secrets.token_hex(8)
    )

    asked = {"sessionId": session_id, "sessionHash": link(session_id)}
    assert contents(await anonymous.get(URL, params=asked)) == ["mine"]


@pytest.mark.parametrize(
    "asked", [{}, {"sessionId": ""}, {"sessionId": "x", "sessionHash": "F" * 32}]
)
async def test_a_question_that_does_not_fit_is_400(make, asked):
    assert (await make.org.get(URL, params=asked)).status_code == 400


async def test_reading_while_posting_leaves_nothing_out(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    posting = asyncio.create_task(done(worker, session_id, *map(str, range(40))))

    seen, cursor = [], "0"
    while not posting.done() or len(seen) < 40:
        answer = await make.org.get(URL, params={"sessionId": session_id, "cursor": cursor})
        seen += contents(answer)
        cursor = answer.json()["cursor"]
    await posting

    assert seen == list(map(str, range(40)))


# --- the cost ---


async def timed(make, **query):
    await make.org.get(URL, params=query)
    spent = []
    for _ in range(30):
        began = time.perf_counter()
        assert len(contents(await make.org.get(URL, params=query))) == 100
        spent.append(time.perf_counter() - began)
    return sorted(spent)[len(spent) // 2]


async def assert_flat(make, many):
    """Reading one session's hundred activities beside a thousand others, and beside many."""
    await allow_links(make)
    watched = await make.session(activity_count=100, public_id=secrets.token_hex(8))
    public_id = (await make.stored(watched)).public_id
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity)"
        " select %s, %s, n, 'thought', jsonb_build_object('type', 'thought', 'content', n::text)"
        " from generate_series(1, 100) n",
        (make.org_id, watched),
    )
    whole = {"after": 0, "most": 1000, "bytes": 4_000_000}
    caller = {
        "org": make.org_id, "worker": None, "registration": None, "projects": None,
        "by_public_id": True,
    }  # fmt: skip
    statements = {
        "by id": (session_activities.READ, caller | whole | {"session": watched}),
        "by public id": (session_activities.READ, caller | whole | {"session": public_id}),
        "the news": (session_activities.READ, caller | whole | {"session": watched, "after": 98}),
        "by link": (session_activities.READ_BY_LINK, whole | {"session": watched}),
        "standing": (
            session_activities.STANDING,
            {"orgs": [make.org_id] * 2, "sessions": [watched, "done-1"]},
        ),
    }
    pages, seconds = {}, {}
    for count in (1000, many):
        await costs.completed_sessions(make, count, activities=10)
        await costs.vacuum(make, "sessions", "activities", "organizations")
        for name, asked in statements.items():
            plan, pages[count, name] = await costs.explained(make.owner, *asked)
            # A thousand rows may be read as they lie; what counts is that many are not.
            if count == many:
                assert costs.scanned(plan).isdisjoint({"sessions", "activities"}), name
        seconds[count] = await timed(make, sessionId=watched)
        await costs.forget_completed(make)
    print("\n", {count: f"{each * 1e3:.2f} ms" for count, each in seconds.items()}, pages)
    for name in statements:
        # A tree that is ten or a hundred times as large is one or two levels higher.
        assert pages[many, name] <= 1.6 * pages[1000, name] + 10, (name, pages)
    return seconds[1000], seconds[many]


async def test_other_sessions_activities_are_not_read(make):
    await assert_flat(make, 10_000)


@pytest.mark.prove
async def test_a_million_activities_cost_what_ten_thousand_do(make):
    few, many = await assert_flat(make, int(100_000 * SHARE))

    assert many < 2 * few + 0.005
