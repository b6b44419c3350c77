"""Sessions reserve the files that they work on, so that no two change one at a time."""

import asyncio
from collections import Counter

import pytest

from jobs.requeue_orphans import requeue_orphans


async def ask(worker, session_id, what, **body):
    return await worker.client.post(f"/api/sessions/{session_id}/files/{what}", json=body)


async def reserve(worker, session_id, *paths, **more):
    answer = await ask(worker, session_id, "reserve", filePaths=list(paths), **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def report(worker, session_id, status):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert answer.status_code == 200, answer.text


async def holder_of(worker, session_id, path):
    """The session other than this one that holds a file; None when it is free."""
    answer = await worker.client.get(
        f"/api/sessions/{session_id}/files/check-conflicts", params={"filePaths": path}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()["conflicts"]
    return found[0]["heldBy"]["sessionId"] if found else None


async def pair(make, **columns):
    """A worker with two sessions at work."""
    worker = await make.worker()
    return worker, await make.claimed(worker, **columns), await make.claimed(worker, **columns)


async def pass_time(make, seconds):
    await make.owner.execute(
        "update file_reservations set expires_at = expires_at - make_interval(secs => %s),"
        " reserved_at = reserved_at - make_interval(secs => %s) where org_id = %s",
        (seconds, seconds, make.org_id),
    )


# --- reserving -----------------------------------------------------------------------------------


async def test_what_is_free_is_reserved_and_the_rest_tells_its_holder(make):
    worker, first, second = await pair(make)

    mine = await reserve(worker, first, "a.py", "b.py", reason="ENG-1")
    theirs = await reserve(worker, second, "b.py", "c.py")

    assert mine == {"reserved": ["a.py", "b.py"], "conflicts": []}
    assert theirs["reserved"] == ["c.py"]
    (conflict,) = theirs["conflicts"]
    reserved_at = conflict["heldBy"].pop("reservedAt")
    assert conflict == {
        "filePath": "b.py",
        "heldBy": {
            "sessionId": first,
            "reason": "ENG-1",
            "repoId": f"project {make.project_id}",
            "filePath": "b.py",
        },
    }
    # In milliseconds: seconds would name a year of the 1970s, microseconds none at all.
    assert 1_700_000_000_000 < reserved_at < 4_000_000_000_000


async def test_an_own_file_is_reserved_again_and_its_time_renewed(make):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py", ttlSeconds=60)
    await pass_time(make, 50)

    again = await reserve(worker, first, "a.py", ttlSeconds=60)
    await pass_time(make, 50)

    assert again == {"reserved": ["a.py"], "conflicts": []}
    assert await holder_of(worker, second, "a.py") == first


@pytest.mark.parametrize(("asked", "lasts"), [({"ttlSeconds": 20}, 20), ({}, 3600)])
async def test_a_reservation_ends_by_its_time(make, asked, lasts):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py", **asked)

    await pass_time(make, lasts - 5)
    before = await holder_of(worker, second, "a.py")
    await pass_time(make, 10)
    after = await holder_of(worker, second, "a.py")
    taken = await reserve(worker, second, "a.py", reason="next")

    assert (before, after) == (first, None)
    assert taken == {"reserved": ["a.py"], "conflicts": []}
    assert (await ask(worker, first, "release", filePaths=["a.py"])).json() == {"released": 0}
    assert await holder_of(worker, first, "a.py") == second


async def test_spellings_of_one_file_are_one_file_and_come_back_as_sent(make):
    worker, first, second = await pair(make)

    mine = await reserve(worker, first, "./src/a.py", "src\\a.py", "src/b/../a.py")
    theirs = await reserve(worker, second, "src/a.py", "SRC/a.py")

    assert mine["reserved"] == ["./src/a.py", "src\\a.py", "src/b/../a.py"]
    assert [each["filePath"] for each in theirs["conflicts"]] == ["src/a.py"]
    assert theirs["reserved"] == ["SRC/a.py"]


@pytest.mark.parametrize("path", ["../a.py", "/etc/passwd", "src/../../a.py", "C:\\a.py", "."])
@pytest.mark.parametrize("what", ["reserve", "release", "check-conflicts"])
async def test_a_path_that_is_not_in_the_repository_is_400_and_nothing_is_done(make, what, path):
    worker, first, second = await pair(make)

    answer = await ask(worker, first, what, filePaths=["a.py", path])

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("filePaths: ")
    assert await holder_of(worker, second, "a.py") is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filePaths": "a.py"},
        {"filePaths": [1]},
        {"filePaths": [""]},
        {"filePaths": ["a" * 4097]},
        {"filePaths": ["a.py"] * 501},
        {"filePaths": ["a.py"], "ttlSeconds": 0},
        {"filePaths": ["a.py"], "ttlSeconds": 301},
    ],
)
async def test_a_reservation_that_does_not_fit_is_400(make, body):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    answer = await ask(worker, session_id, "reserve", **body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body")


async def test_the_longest_path_of_the_widest_letters_is_kept(make):
    worker, first, second = await pair(make)
    path = "𝔞" * 4096

    await reserve(worker, first, path)

    assert [each["filePath"] for each in (await reserve(worker, second, path))["conflicts"]] == [
        path
    ]


async def test_no_files_are_an_empty_answer(make):
    worker, first, _ = await pair(make)

    assert await reserve(worker, first) == {"reserved": [], "conflicts": []}
    check = await worker.client.get(f"/api/sessions/{first}/files/check-conflicts")
    assert check.json() == {"conflicts": []}
    assert (await ask(worker, first, "release", filePaths=[])).json() == {"released": 0}


async def test_one_file_may_be_named_by_itself(make):
    worker, first, second = await pair(make)

    answer = await ask(worker, first, "reserve", filePath="a.py")

    assert answer.json() == {"reserved": ["a.py"], "conflicts": []}
    assert await holder_of(worker, second, "a.py") == first


async def test_reservations_are_too_many_for_the_audit_log(make, audit_log):
    worker, first, _ = await pair(make)
    await reserve(worker, first, "a.py")
    await ask(worker, first, "release-all")

    assert {event for event, _ in await audit_log()} == {"worker.registered", "session.claimed"}


# --- repositories --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        "https://github.com/acme/api.git",
        "https://token:x@github.com/acme/api/",
        "git@github.com:acme/api.git",
        "ssh://git@github.com/acme/api",
        "GitHub.com/Acme/API",
    ],
)
async def test_sessions_of_all_projects_meet_in_their_repository(make, other):
    worker = await make.worker()
    elsewhere = await make.project()
    neighbour = await make.worker(await make.key(projects=[elsewhere]))
    mine = await make.claimed(worker, work='{"repository": "https://github.com/acme/api"}')
    theirs = await make.claimed(
        neighbour, project_id=elsewhere, work=f'{{"repository": "{other}"}}'
    )

    await reserve(worker, mine, "a.py")

    (conflict,) = (await reserve(neighbour, theirs, "a.py"))["conflicts"]
    assert conflict["heldBy"]["sessionId"] == mine
    assert conflict["heldBy"]["repoId"] == "github.com/acme/api"


async def test_a_project_that_names_its_repository_stands_for_sessions_that_name_none(make):
    await make.owner.execute(
        "update projects set repository = %s where id = %s",
        ("https://github.com/acme/api", make.project_id),
    )
    worker, by_project, by_itself = await pair(make)
    await make.owner.execute(
        """update sessions set work = '{"repository": "git@github.com:acme/api"}'"""
        " where org_id = %s and id = %s",
        (make.org_id, by_itself),
    )

    await reserve(worker, by_project, "a.py")

    assert await holder_of(worker, by_itself, "a.py") == by_project


async def test_other_repositories_projects_and_organizations_never_meet(make, application, owner):
    from tests.conftest import SYSTEM_KEY
    from tests.factories import Maker

    other = await Maker.begin(application, owner, SYSTEM_KEY)
    worker = await make.worker(capacity=9)
    elsewhere = await make.project()
    neighbour = await make.worker(await make.key(projects=[elsewhere]))
    stranger = await other.worker()
    api = '{"repository": "https://github.com/acme/api"}'
    holders = [
        (worker, await make.claimed(worker)),
        (worker, await make.claimed(worker, work=api)),
        (worker, await make.claimed(worker, work=api.replace("api", "web"))),
        (neighbour, await make.claimed(neighbour, project_id=elsewhere)),
        (stranger, await other.claimed(stranger, work=api)),
    ]

    answers = [await reserve(each, session_id, "a.py") for each, session_id in holders]
    await other.close()

    assert answers == [{"reserved": ["a.py"], "conflicts": []}] * len(holders)


# --- releasing -----------------------------------------------------------------------------------


async def test_only_what_the_session_holds_is_given_back(make):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py", "b.py", "c.py")

    foreign = await ask(worker, second, "release", filePaths=["a.py"])
    own = await ask(worker, first, "release", filePaths=["./a.py", "b.py", "never.py"])
    again = await ask(worker, first, "release", filePaths=["a.py"])

    assert foreign.json() == {"released": 0}
    assert own.json() == {"released": 2}
    assert again.json() == {"released": 0}
    assert await holder_of(worker, second, "a.py") is None
    assert await holder_of(worker, second, "c.py") == first


@pytest.mark.parametrize("send", ["nothing", "an empty body", "its worker"])
async def test_all_files_of_a_session_are_given_back_at_once(make, send):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py", "b.py")
    await reserve(worker, second, "c.py")
    url = f"/api/sessions/{first}/files/release-all"

    if send == "nothing":
        answer = await worker.client.post(url)
    else:
        answer = await worker.client.post(
            url, json={} if send == "an empty body" else {"workerId": worker.id}
        )
    again = await worker.client.post(url)

    assert (answer.json(), again.json()) == ({"released": 2}, {"released": 0})
    assert await holder_of(worker, first, "c.py") == second


# --- asking --------------------------------------------------------------------------------------


async def test_asking_by_query_and_by_body_says_the_same_and_reserves_nothing(make):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py", "b,c.py")
    await reserve(worker, second, "own.py")
    wanted = ["a.py", "b,c.py", "own.py", "free.py"]

    by_query = await worker.client.get(
        f"/api/sessions/{second}/files/check-conflicts", params={"filePaths": wanted}
    )
    by_body = await ask(worker, second, "check-conflicts", filePaths=wanted)

    assert [each["filePath"] for each in by_query.json()["conflicts"]] == ["a.py", "b,c.py"]
    assert by_body.json() == by_query.json()
    assert await holder_of(worker, first, "free.py") is None


# --- whose ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["reserve", "release", "release-all", "check-conflicts"])
async def test_only_the_worker_that_holds_the_session_speaks_for_it(make, what):
    worker, other = await make.worker(), await make.worker()
    session_id = await make.claimed(worker)
    key = make.client(make.worker_key)
    body = {"filePaths": ["a.py"]}
    url = f"/api/sessions/{session_id}/files/{what}"

    own = await worker.client.post(url, json=body)
    by_key = await key.post(url, json=body)
    named = await key.post(url, json={**body, "workerId": worker.id})
    foreign = await other.client.post(url, json=body)
    misnamed = await key.post(url, json={**body, "workerId": other.id})
    borrowed = await other.client.post(url, json={**body, "workerId": worker.id})
    unknown = await worker.client.post(f"/api/sessions/nowhere/files/{what}", json=body)

    assert {own.status_code, by_key.status_code, named.status_code} == {200}
    assert {foreign.status_code, misnamed.status_code, borrowed.status_code} == {403}
    assert "owned by another worker" in foreign.json()["error"]
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Session not found"})


async def test_an_older_epoch_reserves_nothing(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)

    stale = await ask(worker, session_id, "reserve", filePaths=["a.py"], leaseEpoch=7)
    own = await ask(worker, session_id, "reserve", filePaths=["a.py"], leaseEpoch=1)

    assert (stale.status_code, own.status_code) == (403, 200)


async def test_a_call_about_files_keeps_the_session_with_its_worker(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    for what in ("reserve", "release", "release-all", "check-conflicts"):
        await make.owner.execute(
            "update sessions set last_call_at = now() - interval '1 hour', confirmed = false"
            " where id = %s",
            (session_id,),
        )

        await ask(worker, session_id, what, filePaths=["a.py"])

        fresh = await make.owner.execute(
            "select confirmed and last_call_at > now() - interval '1 minute' as kept"
            " from sessions where id = %s",
            (session_id,),
        )
        assert (await fresh.fetchone()).kept, what


# --- when a reservation ends with its session ----------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "failed", "stopped"])
async def test_files_are_free_when_the_worker_reports_the_end(make, status):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py")
    await report(worker, first, "running")
    held = await holder_of(worker, second, "a.py")

    await report(worker, first, status)

    assert held == first
    assert await holder_of(worker, second, "a.py") is None
    late = await ask(worker, first, "reserve", filePaths=["a.py"])
    assert (late.status_code, late.json()) == (
        409,
        {"error": f"Session is {status} and reserves no files"},
    )
    assert (await ask(worker, first, "release-all")).json() == {"released": 0}


async def test_files_are_free_when_somebody_stops_the_session(make):
    worker, first, second = await pair(make)
    await reserve(worker, first, "a.py")
    public_id = (await make.stored(first)).public_id

    stopped = await make.org.post(f"/api/public/sessions/{public_id}/stop")

    assert stopped.status_code == 200
    assert await holder_of(worker, second, "a.py") is None


@pytest.fixture
async def long_alive(owner, application):
    """The service has been able to store heartbeats for longer than a lease."""
    await owner.execute(
        "insert into service_pulse (one) values (true) on conflict (one) do update set"
        " alive_since = now() - interval '1 hour', last_pulse_at = now()"
    )
    await owner.execute("update service_pulse set alive_since = now() - interval '1 hour'")


async def fall_silent(make, worker):
    long_ago = "now() - interval '1 hour'"
    await make.owner.execute(
        f"update workers set last_heartbeat_at = {long_ago}, covered_at = {long_ago} where id = %s",
        (worker.id,),
    )
    await make.owner.execute(
        f"update sessions set last_call_at = {long_ago} where slot_worker_id = %s", (worker.id,)
    )


async def test_a_lost_lease_keeps_the_files_for_the_worker_that_comes_back(
    make, run_job, long_alive
):
    worker, observer = await make.worker(), await make.worker()
    own, watching = await make.claimed(worker), await make.claimed(observer)
    await reserve(worker, own, "a.py")
    await fall_silent(make, worker)
    await run_job(requeue_orphans)
    lost = (await make.stored(own)).status
    meanwhile = await holder_of(observer, watching, "a.py")

    back = await reserve(worker, own, "b.py")

    assert (lost, meanwhile) == ("pending", own)
    assert back == {"reserved": ["b.py"], "conflicts": []}
    assert (await make.stored(own)).status == "claimed"
    assert await holder_of(observer, watching, "a.py") == own


async def test_a_lost_session_that_another_worker_claims_holds_no_files(make, run_job, long_alive):
    worker, observer = await make.worker(), await make.worker()
    own, watching = await make.claimed(worker), await make.claimed(observer)
    await reserve(worker, own, "a.py")
    await fall_silent(make, worker)
    await run_job(requeue_orphans)

    poll = await observer.client.get(f"/api/workers/{observer.id}/poll")

    assert poll.json()["claimedSessionIds"] == [own]
    assert await holder_of(observer, watching, "a.py") is None


async def test_files_are_free_when_the_last_attempt_is_lost(make, run_job, long_alive):
    worker, observer = await make.worker(), await make.worker()
    own, watching = await make.claimed(worker, attempts=4), await make.claimed(observer)
    await reserve(worker, own, "a.py")
    await fall_silent(make, worker)

    await run_job(requeue_orphans)

    assert (await make.stored(own)).status == "failed"
    assert await holder_of(observer, watching, "a.py") is None


@pytest.mark.parametrize("how", ["nack", "good-bye"])
async def test_files_are_free_when_the_session_is_given_back(make, how):
    worker, observer = await make.worker(), await make.worker()
    own, watching = await make.claimed(worker), await make.claimed(observer)
    await reserve(worker, own, "a.py")

    if how == "nack":
        work = {
            "sessionId": own,
            "issueId": "",
            "issueIdentifier": "",
            "priority": 1,
            "queuedAt": 0,
        }
        answer = await worker.client.post(
            f"/api/sessions/{own}/nack", json={"workerId": worker.id, "work": work}
        )
    else:
        answer = await worker.client.delete(f"/api/workers/{worker.id}")

    assert answer.status_code == 200, answer.text
    assert await holder_of(observer, watching, "a.py") is None


async def test_a_transfer_takes_the_files_along(make):
    worker, observer = await make.worker(), await make.worker()
    own, watching = await make.claimed(worker), await make.claimed(observer)
    await reserve(worker, own, "a.py")
    heir = await make.worker()

    answer = await heir.client.post(
        f"/api/sessions/{own}/transfer-ownership",
        json={"newWorkerId": heir.id, "oldWorkerId": worker.id},
    )

    assert answer.json()["transferred"] is True
    assert await holder_of(observer, watching, "a.py") == own
    assert (await ask(heir, own, "release-all")).json() == {"released": 1}


# --- races ---------------------------------------------------------------------------------------


async def test_ten_sessions_at_once_never_share_a_file(make):
    worker = await make.worker(capacity=10)
    sessions = [await make.claimed(worker) for _ in range(10)]
    files = [f"src/{number}.py" for number in range(600)]
    # Each wants most of them, every second session in the opposite order: without turns, those
    # would wait for each other.
    wants = [(files * 2)[30 * n : 30 * n + 500][:: (-1) ** n] for n in range(len(sessions))]
    for _ in range(2):
        answers = await asyncio.gather(
            *(reserve(worker, each, *want) for each, want in zip(sessions, wants, strict=True))
        )

        got = Counter(path for answer in answers for path in answer["reserved"])
        owner_of = {
            path: each
            for each, answer in zip(sessions, answers, strict=True)
            for path in answer["reserved"]
        }
        assert got == dict.fromkeys(files, 1)
        for answer, want in zip(answers, wants, strict=True):
            assert len(answer["reserved"]) + len(answer["conflicts"]) == len(want)
            for conflict in answer["conflicts"]:
                assert conflict["heldBy"]["sessionId"] == owner_of[conflict["filePath"]]
        released = await asyncio.gather(*(ask(worker, each, "release-all") for each in sessions))
        assert sum(answer.json()["released"] for answer in released) == len(files)


async def test_a_session_that_ends_while_it_reserves_keeps_nothing(make):
    worker = await make.worker(capacity=50)
    sessions = [await make.claimed(worker) for _ in range(20)]
    watching = await make.claimed(worker)
    files = [f"{number}.py" for number in range(20)]

    async def end(session_id):
        await report(worker, session_id, "completed")

    answers = await asyncio.gather(
        *(ask(worker, each, "reserve", filePaths=files) for each in sessions),
        *(end(each) for each in sessions),
    )

    assert {answer.status_code for answer in answers if answer} <= {200, 409}
    assert await reserve(worker, watching, *files) == {"reserved": files, "conflicts": []}


async def test_sessions_that_end_together_and_sessions_that_want_their_files_get_by(make):
    """A good-bye ends several at once; none of those who want the files waits in a circle."""
    for _ in range(2):
        leaving, staying = await make.worker(capacity=5), await make.worker(capacity=10)
        ending = [await make.claimed(leaving) for _ in range(5)]
        wanting = [await make.claimed(staying) for _ in range(5)]
        files = [f"{number}.py" for number in range(20)]
        for number, each in enumerate(ending):
            await reserve(leaving, each, *files[number::5])

        *answers, gone = await asyncio.gather(
            *(
                reserve(staying, each, *files[:: (-1) ** number])
                for number, each in enumerate(wanting)
            ),
            leaving.client.delete(f"/api/workers/{leaving.id}"),
        )

        assert gone.status_code == 200, gone.text
        late = await asyncio.gather(*(reserve(staying, each, *files) for each in wanting))
        got = Counter(path for answer in late for path in answer["reserved"])
        assert {path: got[path] for path in files} == dict.fromkeys(files, 1)
        assert len(answers) == len(wanting)
        await asyncio.gather(*(report(staying, each, "completed") for each in wanting))
        # What was given back waits in the queue, where the next turn's polls would find it.
        await make.owner.execute(
            "update sessions set waits_for = 'person' where id = any(%s)", (ending,)
        )
