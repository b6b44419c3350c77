"""Workers join the fleet and stay in it."""

import asyncio

import pytest

from auth import tokens
from persistence import database, keys


async def test_a_registration_key_makes_a_worker_and_its_runtime_token(make, audit_log):
    worker = await make.worker(capacity=4)

    kind, claims = await tokens.verify(worker.answer["runtimeToken"])

    assert worker.id.startswith("wkr_")
    assert len(worker.id) == 20
    assert worker.answer["heartbeatInterval"] == 10_000
    assert worker.answer["pollInterval"] == 5_000
    assert kind is tokens.RUNTIME
    assert (claims["sub"], claims["org"], claims["proj"]) == (
        worker.id,
        make.org_id,
        make.project_id,
    )
    assert claims["scope"] == [
        "worker:register",
        "worker:poll",
        "worker:heartbeat",
        "worker:session",
    ]
    assert await audit_log() == [("worker.registered", worker.id)]


async def test_every_registration_makes_a_new_worker(make):
    first, second = await asyncio.gather(make.worker(), make.worker())

    assert first.id != second.id


async def test_capacity_is_one_when_it_is_not_given(make):
    answer = await make.client(make.worker_key).post(
        "/api/workers/register", json={"hostname": "forge"}
    )
    worker_id = answer.json()["workerId"]

    stored = await make.owner.execute("select capacity from workers where id = %s", (worker_id,))

    assert (await stored.fetchone()).capacity == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"hostname": ""},
        {"hostname": "forge", "capacity": 0},
        {"hostname": "forge", "capacity": -1},
        {"hostname": "forge", "capacity": "three"},
        {"hostname": "forge", "projects": "all of them"},
    ],
)
async def test_a_registration_that_does_not_fit_is_400(make, body):
    answer = await make.client(make.worker_key).post("/api/workers/register", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body")


async def test_a_key_of_all_projects_must_name_one(make):
    nameless = await make.org.post("/api/workers/register", json={"hostname": "forge"})
    named = await make.org.post(
        "/api/workers/register", json={"hostname": "forge", "projectId": make.project_id}
    )

    assert nameless.status_code == 400
    assert "projectId" in nameless.json()["error"]
    assert named.status_code == 201


async def test_another_organizations_project_is_not_found(make, application, owner):
    from tests.conftest import SYSTEM_KEY
    from tests.factories import Maker

    other = await Maker.begin(application, owner, SYSTEM_KEY)

    foreign = await make.org.post(
        "/api/workers/register", json={"hostname": "forge", "projectId": other.project_id}
    )
    unknown = await make.org.post(
        "/api/workers/register", json={"hostname": "forge", "projectId": "proj_nowhere"}
    )
    await other.close()

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()


async def test_the_deployment_key_registers_without_a_runtime_token_and_works(make):
    from domain.ids import fingerprint

    secret = f"deployment-key-of-{make.org_id}"
    async with database.transaction() as db:
        await keys.put_deployment_key(db, fingerprint(secret), make.project_id)
    caller = make.client(secret)

    answer = await caller.post("/api/workers/register", json={"hostname": "forge", "capacity": 2})
    worker_id = answer.json()["workerId"]
    session_id = await make.session()
    poll = await caller.get(f"/api/workers/{worker_id}/poll")
    async with database.transaction() as db:
        await keys.put_deployment_key(db, None, None)
    after = await caller.get(f"/api/workers/{worker_id}/poll")

    assert answer.status_code == 201
    assert answer.json()["runtimeToken"] is None
    assert answer.json()["runtimeTokenExpiresAt"] is None
    assert poll.json()["claimedSessionIds"] == [session_id]
    assert after.status_code == 401


async def test_who_retires_stands_in_the_event_of_who_comes(make, owner):
    older = await make.worker(machineId="machine-1")
    newer = await make.worker(machineId="machine-1")

    found = await owner.execute(
        "select payload from happened where event_type = 'worker.registered' and entity_id = %s",
        (newer.id,),
    )

    assert (await found.fetchone()).payload["retires"] == [older.id]


async def test_a_new_registration_of_a_machine_gives_the_older_one_no_new_work(make):
    older = await make.worker(machineId="machine-1")
    held = await make.claimed(older)

    newer = await make.worker(machineId="machine-1")
    waiting = await make.session()
    older_poll = await older.client.get(f"/api/workers/{older.id}/poll")
    report = await older.client.post(
        f"/api/sessions/{held}/status", json={"workerId": older.id, "status": "running"}
    )
    newer_poll = await newer.client.get(f"/api/workers/{newer.id}/poll")

    assert older_poll.json()["work"] == []
    assert report.status_code == 200
    assert newer_poll.json()["claimedSessionIds"] == [waiting]


async def test_equal_hostnames_retire_nobody(make):
    older = await make.worker(hostname="twin")
    await make.worker(hostname="twin")
    session_id = await make.session()

    poll = await older.client.get(f"/api/workers/{older.id}/poll")

    assert poll.json()["claimedSessionIds"] == [session_id]


# --- daemons ---------------------------------------------------------------------------------


async def test_a_daemon_registers_with_the_token_in_its_body(anonymous, make):
    answer = await anonymous.post(
        "/v1/daemon/register",
        json={"registrationToken": make.worker_key, "hostname": "forge", "maxAgents": 3},
    )
    said = answer.json()
    daemon = make.client(said["runtimeJwt"])
    beat = await daemon.post(
        "/v1/daemon/heartbeat", json={"workerId": said["workerId"], "activeSessions": 0}
    )

    assert answer.status_code == 201
    assert (said["heartbeatIntervalSeconds"], said["pollIntervalSeconds"]) == (10, 5)
    assert beat.json()["acknowledged"] is True


async def test_a_daemon_with_a_wrong_token_is_401_and_one_without_the_scope_403(anonymous, make):
    without = await make.key(projects=[make.project_id], scopes=["worker:poll"])
    body = {"hostname": "forge", "maxAgents": 3}

    unknown = await anonymous.post(
        "/v1/daemon/register", json={**body, "registrationToken": "rsk_live_" + "0" * 64}
    )
    narrow = await anonymous.post(
        "/v1/daemon/register", json={**body, "registrationToken": without}
    )

    assert unknown.status_code == 401
    assert narrow.status_code == 403


async def test_the_daemon_heartbeat_takes_a_runtime_token_only(make):
    worker = await make.worker()

    with_key = await make.client(make.worker_key).post(
        "/v1/daemon/heartbeat", json={"workerId": worker.id, "activeSessions": 0}
    )
    for_another = await worker.client.post(
        "/v1/daemon/heartbeat", json={"workerId": "wkr_another", "activeSessions": 0}
    )

    assert with_key.status_code == 403
    assert for_another.status_code == 403


# --- heartbeats ------------------------------------------------------------------------------


async def test_a_heartbeat_answers_with_the_queue_of_the_workers_own_project(make):
    worker = await make.worker()
    await make.session()
    await make.session()
    await make.session(project_id=await make.project())

    beat = await worker.client.post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 0, "load": {"cpu": 1}}
    )

    assert beat.status_code == 200
    assert beat.json()["acknowledged"] is True
    assert beat.json()["serverTime"].endswith("Z")
    assert beat.json()["pendingWorkCount"] == 2


async def test_the_guides_name_of_the_count_is_taken_too(make):
    worker = await make.worker()

    synonym = await worker.client.post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeSessions": 3}
    )
    neither = await worker.client.post(f"/api/workers/{worker.id}/heartbeat", json={})
    negative = await worker.client.post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeCount": -1}
    )

    assert synonym.status_code == 200
    assert neither.status_code == negative.status_code == 400


async def test_a_constant_key_acts_for_the_workers_it_registered(make):
    worker = await make.worker()
    caller = make.client(make.worker_key)
    other_key = await make.key(projects=[make.project_id])

    mine = await caller.post(f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 0})
    theirs = await make.client(other_key).post(
        f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 0}
    )

    assert mine.status_code == 200
    assert theirs.status_code == 404
    assert theirs.json()["error"] == "Worker not found"


async def test_an_unknown_worker_reads_worker_not_found(make):
    """The open-source worker registers again when the text of a 404 holds these words."""
    caller = make.client(make.worker_key)

    beat = await caller.post("/api/workers/wkr_nobody/heartbeat", json={"activeCount": 0})
    poll = await caller.get("/api/workers/wkr_nobody/poll")

    assert (beat.status_code, beat.json()["error"]) == (404, "Worker not found")
    assert (poll.status_code, poll.json()["error"]) == (404, "Worker not found")


async def test_a_runtime_token_speaks_for_no_other_worker(make):
    worker, other = await make.worker(), await make.worker()

    beat = await worker.client.post(f"/api/workers/{other.id}/heartbeat", json={"activeCount": 0})
    poll = await worker.client.get(f"/api/workers/{other.id}/poll")

    assert beat.status_code == poll.status_code == 403


# --- renewal ---------------------------------------------------------------------------------


async def expired(worker, seconds_ago: int) -> str:
    """The worker's runtime token as it would be when it expired so long ago."""
    _, claims = await tokens.verify(worker.answer["runtimeToken"])
    kept = {name: claims[name] for name in ("jti", "sub", "org", "proj", "reg", "scope")}
    return await tokens.mint(tokens.RUNTIME, kept, -seconds_ago)


async def test_an_expired_token_says_so_in_the_clients_words(make):
    """The donmai client looks for `Runtime token expired` and then asks for a new token."""
    worker = await make.worker()
    late = make.client(await expired(worker, 5))

    poll = await late.get(f"/api/workers/{worker.id}/poll")

    assert (poll.status_code, poll.json()["error"]) == (401, "Runtime token expired")


@pytest.mark.parametrize("body", [None, {}])
async def test_the_registration_key_renews_a_token_for_the_same_worker(make, body):
    worker = await make.worker()
    caller = make.client(make.worker_key)

    answer = await caller.post(f"/api/workers/{worker.id}/refresh-token", json=body)
    _, claims = await tokens.verify(answer.json()["runtimeToken"])

    assert answer.status_code == 200
    assert claims["sub"] == worker.id
    assert answer.json()["expiresAt"] == answer.json()["runtimeTokenExpiresAt"]


async def test_an_expired_token_renews_itself_for_a_day_and_no_longer(make):
    worker = await make.worker()
    yesterday = make.client(await expired(worker, 23 * 3600))
    too_late = make.client(await expired(worker, 25 * 3600))

    within = await yesterday.post(f"/api/workers/{worker.id}/refresh-token")
    beyond = await too_late.post(f"/api/workers/{worker.id}/refresh-token")

    assert within.status_code == 200
    assert beyond.status_code == 401


async def test_a_revoked_registration_renews_nothing(make):
    key = await make.key_answer(projects=[make.project_id])
    worker = await make.worker(key=key["fullKey"])

    revoked = await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")
    by_token = await worker.client.post(f"/api/workers/{worker.id}/refresh-token")
    by_key = await make.client(key["fullKey"]).post(f"/api/workers/{worker.id}/refresh-token")

    assert revoked.status_code == 200
    assert by_token.status_code == by_key.status_code == 401


async def test_renewing_an_unknown_worker_is_404(make):
    answer = await make.client(make.worker_key).post("/api/workers/wkr_nobody/refresh-token")

    assert (answer.status_code, answer.json()["error"]) == (404, "Worker not found")
