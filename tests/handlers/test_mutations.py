"""What a worker host is told to change about itself: queued, delivered once in order, settled."""

import asyncio
import secrets

import pytest

ADD = {"op": "project.add", "params": {"id": "proj_x", "repository": "https://github.com/acme/x"}}
REMOVE = {"op": "project.remove", "params": {"id": "proj_x"}}
URL = "/api/daemon/mutations"


async def on_a_host(make, **more):
    """A worker of a machine of its own."""
    return await make.worker(machineId=secrets.token_hex(8), **more)


def host_of(worker):
    return worker.answer["workerHostId"]


async def enqueue(make, worker, mutation=ADD):
    answer = await make.org.post(URL, json={"workerHostId": host_of(worker), **mutation})
    assert answer.status_code == 201, answer.text
    return answer.json()["mutation"]


async def cancel(make, mutation):
    return await make.org.delete(f"{URL}/{mutation['id']}")


async def listed(make, worker, **params):
    answer = await make.org.get(URL, params={"workerHostId": host_of(worker), **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["mutations"]


async def beat(worker, which="worker", **more):
    if which == "worker":
        url, body = f"/api/workers/{worker.id}/heartbeat", {"activeCount": 0}
    else:
        url, body = "/v1/daemon/heartbeat", {"workerId": worker.id, "activeSessions": 0}
    answer = await worker.client.post(url, json={**body, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(answer):
    return [each["id"] for each in answer.get("pendingMutations", [])]


both_heartbeats = pytest.mark.parametrize("which", ["worker", "daemon"])


@both_heartbeats
async def test_a_worker_that_has_left_is_not_found(make, which):
    worker = await make.worker()
    paths = {
        "worker": (f"/api/workers/{worker.id}/heartbeat", {"activeCount": 0}),
        "daemon": ("/v1/daemon/heartbeat", {"workerId": worker.id, "activeSessions": 0}),
    }
    await worker.client.delete(f"/api/workers/{worker.id}")

    path, body = paths[which]
    answer = await worker.client.post(path, json=body)

    assert (answer.status_code, answer.json()["error"]) == (404, "Worker not found")


# --- hosts ---------------------------------------------------------------------------------------


async def test_a_machine_is_one_host_however_often_it_registers(make, anonymous):
    machine = secrets.token_hex(8)
    first = await make.worker(machineId=machine)
    second = await make.worker(machineId=machine)
    daemon = await anonymous.post(
        "/v1/daemon/register",
        json={
            "registrationToken": make.worker_key,
            "hostname": "forge",
            "maxAgents": 1,
            "machineId": machine,
        },
    )
    record = await second.client.get(f"/api/workers/{second.id}")

    assert host_of(first).startswith("host_")
    assert {host_of(second), daemon.json()["workerHostId"], record.json()["workerHostId"]} == {
        host_of(first)
    }


async def test_many_registrations_of_a_machine_at_once_make_one_host(make):
    machine = secrets.token_hex(8)

    made = await asyncio.gather(*(make.worker(machineId=machine) for _ in range(8)))

    assert len({host_of(worker) for worker in made}) == 1


async def test_a_worker_that_names_no_machine_has_no_host(make):
    worker = await make.worker()

    said = await beat(worker, appliedMutations=["mut_1"])

    assert "workerHostId" not in worker.answer
    assert set(said) == {"acknowledged", "serverTime", "pendingWorkCount"}


async def test_a_machine_of_another_registration_is_another_host_and_hears_nothing(make):
    machine = secrets.token_hex(8)
    mine = await make.worker(machineId=machine)
    claimant = await make.worker(await make.key(projects=[await make.project()]), machineId=machine)
    mutation = await enqueue(make, mine)

    overheard = await beat(claimant)
    await beat(mine)
    await beat(claimant, appliedMutations=[mutation["id"]])

    assert host_of(claimant) != host_of(mine)
    assert told(overheard) == []
    assert [each["status"] for each in await listed(make, mine)] == ["delivered"]


async def test_a_host_is_named_by_its_machine_too_and_the_latest_one_is_meant(make):
    machine = secrets.token_hex(8)
    older = await make.worker(machineId=machine)
    newer = await make.worker(await make.key(projects=[make.project_id]), machineId=machine)

    answer = await make.org.post(URL, json={"workerHostId": machine, **ADD})
    found = await make.org.get(URL, params={"workerHostId": machine})

    assert answer.json()["mutation"]["workerHostId"] == host_of(newer) != host_of(older)
    assert [each["id"] for each in found.json()["mutations"]] == [answer.json()["mutation"]["id"]]


# --- queueing ------------------------------------------------------------------------------------


async def test_a_queued_mutation_waits_with_both_stamps_empty(make, audit_log):
    worker = await on_a_host(make)

    mutation = await enqueue(make, worker)

    created_at = mutation.pop("createdAt")
    requested_by = mutation.pop("requestedBy")
    assert mutation == {
        "id": mutation["id"],
        "orgId": make.org_id,
        "workerHostId": host_of(worker),
        **ADD,
        "status": "pending",
        "deliveredAt": None,
        "cancelledAt": None,
    }
    assert mutation["id"].startswith("mut_")
    assert requested_by.startswith("key_")
    assert created_at.endswith("Z")
    assert await audit_log(of="mutation.queued") == [("mutation.queued", mutation["id"])]


GOOD = [
    ADD,
    REMOVE,
    {"op": "project.enable", "params": {"id": "proj_x"}},
    {"op": "project.disable", "params": {"id": "proj_x"}},
    {"op": "pool.deleted", "params": {"poolId": "pool_1", "candidatePoolIds": ["pool_2"]}},
    {"op": "modelAccess.set", "params": {"policy": {"matrix": {"claude": ["byok"]}}}},
    {"op": "modelAccess.clear", "params": {}},
    {"op": "session.kill", "params": {"sessionId": "ses-1", "reason": "runaway", "more": [1e300]}},
    {"op": "session.wake", "params": {"sessionId": "ses-1"}},
    {"op": "session.restart-harness", "params": {"sessionId": "ses-1"}},
]


@pytest.mark.parametrize("mutation", GOOD, ids=[each["op"] for each in GOOD])
async def test_every_operation_that_hosts_know_is_delivered_as_it_was_queued(make, mutation):
    worker = await on_a_host(make)
    queued = await enqueue(make, worker, mutation)

    (pending,) = (await beat(worker))["pendingMutations"]

    assert pending == {
        "id": queued["id"],
        **mutation,
        "requestedAt": queued["createdAt"],
        "requestedBy": queued["requestedBy"],
    }


@pytest.mark.parametrize(
    ("mutation", "place"),
    [
        ({"op": "project.rename", "params": {}}, "body.op"),
        ({"op": "project.add", "params": {"id": "x"}}, "body.params.repository"),
        ({"op": "project.remove", "params": {}}, "body.params.id"),
        ({"op": "pool.deleted", "params": {"candidatePoolIds": []}}, "body.params.poolId"),
        ({"op": "modelAccess.set", "params": {"policy": {}}}, "body.params.policy.matrix"),
        ({"op": "session.kill", "params": {"reason": "x"}}, "body.params.sessionId"),
        ({"op": "project.remove"}, "body.params"),
        ({"params": {"id": "x"}}, "body.op"),
    ],
)
async def test_a_mutation_that_hosts_could_not_apply_is_400_and_says_where(make, mutation, place):
    worker = await on_a_host(make)

    answer = await make.org.post(URL, json={"workerHostId": host_of(worker), **mutation})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{place}: ")
    assert await listed(make, worker) == []


async def test_hosts_and_mutations_of_nobody_are_404(make):
    queued = await make.org.post(URL, json={"workerHostId": "host_nobodys", **ADD})
    found = await make.org.get(URL, params={"workerHostId": "host_nobodys"})
    gone = await make.org.delete(f"{URL}/mut_nobodys")

    assert {queued.status_code, found.status_code, gone.status_code} == {404}
    assert queued.json() == found.json() == {"error": "Worker host not found"}
    assert gone.json() == {"error": "Mutation not found"}


# --- delivery ------------------------------------------------------------------------------------


@both_heartbeats
async def test_the_next_heartbeat_carries_them_oldest_first_until_they_are_acknowledged(
    make, which, audit_log
):
    worker = await on_a_host(make)
    added, removed = await enqueue(make, worker), await enqueue(make, worker, REMOVE)

    first = await beat(worker, which)
    stamped = await listed(make, worker)
    again = await beat(worker, which)
    last = await beat(
        worker,
        which,
        appliedMutations=[added["id"]],
        mutationFailures=[{"id": removed["id"], "error": "no such project"}],
    )
    after = await beat(worker, which, appliedMutations=[added["id"]])

    assert told(first) == told(again) == [added["id"], removed["id"]]
    assert {each["status"] for each in stamped} == {"delivered"}
    assert all(each["deliveredAt"] for each in stamped)
    assert "pendingMutations" not in last
    assert "pendingMutations" not in after
    settled = await listed(make, worker)
    assert [(each["id"], each["status"], each.get("error")) for each in settled] == [
        (removed["id"], "failed", "no such project"),
        (added["id"], "applied", None),
    ]
    assert [each["deliveredAt"] for each in settled] == [each["deliveredAt"] for each in stamped]
    events = [each for each in await audit_log() if each[0].startswith("mutation.")]
    assert sorted(events) == sorted(
        [("mutation.applied", added["id"]), ("mutation.failed", removed["id"])]
        + [
            (f"mutation.{step}", each["id"])
            for each in (added, removed)
            for step in ("queued", "delivered")
        ]
    )


async def test_a_host_that_starts_anew_is_told_under_its_new_worker_id_alone(make):
    machine = secrets.token_hex(8)
    older = await make.worker(machineId=machine)
    mutation = await enqueue(make, older)
    before = await beat(older)
    newer = await make.worker(machineId=machine)

    to_older, to_newer = await beat(older), await beat(newer)
    await beat(older, appliedMutations=[mutation["id"]])

    assert told(before) == told(to_newer) == [mutation["id"]]
    assert told(to_older) == []
    assert [each["status"] for each in await listed(make, newer)] == ["applied"]


async def test_other_hosts_and_their_acknowledgements_change_nothing(make):
    worker, other = await on_a_host(make), await on_a_host(make)
    mutation = await enqueue(make, worker)
    await enqueue(make, other)
    await beat(worker)

    said = await beat(other, appliedMutations=[mutation["id"]])

    assert mutation["id"] not in told(said)
    assert [each["status"] for each in await listed(make, worker)] == ["delivered"]


async def test_what_was_never_delivered_cannot_be_acknowledged(make):
    worker = await on_a_host(make)
    mutation = await enqueue(make, worker)

    said = await beat(worker, appliedMutations=[mutation["id"], "mut_nobodys", "", "x" * 5000])

    assert told(said) == [mutation["id"]]
    assert [each["status"] for each in await listed(make, worker)] == ["delivered"]


async def test_an_acknowledgement_of_both_kinds_is_a_failure_and_the_first_one_stays(make):
    worker = await on_a_host(make)
    mutation = await enqueue(make, worker)
    other = await enqueue(make, worker)
    await beat(worker)

    await beat(
        worker,
        appliedMutations=[mutation["id"]],
        mutationFailures=[{"id": mutation["id"], "error": "x" * 3000}],
    )
    await beat(worker, appliedMutations=[mutation["id"]])

    (_, failed) = await listed(make, worker)
    assert (failed["status"], len(failed["error"])) == ("failed", 2000)
    assert told(await beat(worker)) == [other["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"appliedMutations": "mut_1"},
        {"appliedMutations": [1]},
        {"mutationFailures": ["mut_1"]},
        {"mutationFailures": [{"id": "mut_1"}]},
    ],
)
@both_heartbeats
async def test_an_acknowledgement_that_does_not_fit_is_400(make, which, body):
    worker = await on_a_host(make)
    url, count = {
        "worker": (f"/api/workers/{worker.id}/heartbeat", {"activeCount": 0}),
        "daemon": ("/v1/daemon/heartbeat", {"workerId": worker.id, "activeSessions": 0}),
    }[which]

    answer = await worker.client.post(url, json={**count, **body})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body.")


async def test_a_heartbeat_carries_fifty_at_the_most(make):
    worker = await on_a_host(make)
    queued = [(await enqueue(make, worker))["id"] for _ in range(52)]

    first = told(await beat(worker))
    rest = told(await beat(worker, appliedMutations=first))

    assert (first, rest) == (queued[:50], queued[50:])


@both_heartbeats
async def test_a_heartbeat_asks_the_database_once_while_nothing_is_under_way(
    make, which, monkeypatch
):
    worker = await on_a_host(make)
    settled = await enqueue(make, worker)
    await beat(worker)
    await beat(worker, appliedMutations=[settled["id"]])
    await cancel(make, await enqueue(make, worker))
    from persistence import database

    asked, hot = [], database.hot

    async def counting(sql, values):
        asked.append(sql)
        return await hot(sql, values)

    monkeypatch.setattr(database, "hot", counting)
    # What is acknowledged for the second time costs nothing either.
    said = await beat(worker, which, appliedMutations=[settled["id"]])

    assert len(asked) == 1
    assert said["hostStatus"] == {"status": "ok"}


async def test_the_cost_of_a_heartbeat_does_not_grow_with_what_is_stored(make, owner):
    from persistence.workers import BEAT

    worker = await on_a_host(make)
    row = await (
        await owner.execute("select registration_id from workers where id = %s", (worker.id,))
    ).fetchone()
    values = {
        "org": make.org_id,
        "worker": worker.id,
        "registration": row.registration_id,
        "active": 0,
        "status": None,
        "capacity": None,
        "lease": 50.0,
    }

    async def pages():
        await owner.execute("analyze mutations")
        async with owner.transaction(force_rollback=True):
            rows = await owner.execute("explain (analyze, buffers, format json) " + BEAT, values)
            plan = (await rows.fetchone())[0][0]["Plan"]
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    await pages()
    few = await pages()
    await owner.execute(
        "insert into mutations (org_id, id, host_id, op, params, status, requested_by)"
        " select %s, 'mut_' || %s || n, %s, 'project.remove', '{}', 'applied', 'key_1'"
        "   from generate_series(1, 20000) n",
        (make.org_id, worker.id, host_of(worker)),
    )
    many = await pages()

    assert many <= few + 5


# --- the host's status ---------------------------------------------------------------------------


async def test_a_host_whose_pool_was_deleted_is_told_so_until_it_registers_anew(make):
    machine = secrets.token_hex(8)
    worker = await make.worker(machineId=machine)
    before = await beat(worker)
    mutation = {"op": "pool.deleted", "params": {"poolId": "p1", "candidatePoolIds": ["p2", "p3"]}}
    await cancel(make, await enqueue(make, worker, mutation))
    cancelled = await beat(worker)
    queued = await enqueue(make, worker, mutation)
    await beat(worker)

    after = await beat(worker, appliedMutations=[queued["id"]])
    anew = await beat(await make.worker(machineId=machine))

    assert before["hostStatus"] == cancelled["hostStatus"] == anew["hostStatus"] == {"status": "ok"}
    assert after["hostStatus"] == {
        "status": "pool_deleted",
        "recommendedAction": "join_another_pool",
        "candidatePoolIds": ["p2", "p3"],
    }


# --- listing and cancelling ----------------------------------------------------------------------


async def test_the_list_is_newest_first_of_one_host_and_as_long_as_asked(make):
    worker, other = await on_a_host(make), await on_a_host(make)
    queued = [(await enqueue(make, worker))["id"] for _ in range(4)]
    await enqueue(make, other)

    everything = await listed(make, worker)
    two = await listed(make, worker, limit=2)
    first = await make.org.get(URL, params={"workerHostId": host_of(worker), "limit": 3})
    rest = await listed(make, worker, cursor=first.json()["nextCursor"])
    refused = [
        await make.org.get(URL, params=params)
        for params in (
            {},
            {"workerHostId": host_of(worker), "limit": 0},
            {"workerHostId": host_of(worker), "limit": 501},
        )
    ]

    assert [each["id"] for each in everything] == queued[::-1]
    assert [each["id"] for each in two] == queued[:1:-1]
    assert [each["id"] for each in rest] == queued[:1]
    assert {answer.status_code for answer in refused} == {400}


async def test_what_no_heartbeat_carried_is_cancelled_once(make, audit_log):
    worker = await on_a_host(make)
    mutation = await enqueue(make, worker)

    first, second = await cancel(make, mutation), await cancel(make, mutation)
    said = await beat(worker)

    assert (first.status_code, first.json()) == (200, {"cancelled": True})
    assert (second.status_code, second.json()) == (
        409,
        {
            "cancelled": False,
            "reason": "already_delivered",
            "error": "Mutation is cancelled and cannot be cancelled",
        },
    )
    assert told(said) == []
    (stored,) = await listed(make, worker)
    assert (stored["status"], stored["deliveredAt"]) == ("cancelled", None)
    assert stored["cancelledAt"]
    assert await audit_log(of="mutation.cancelled") == [("mutation.cancelled", mutation["id"])]


async def test_the_window_for_cancelling_closes_with_the_delivery(make):
    worker = await on_a_host(make)
    mutation = await enqueue(make, worker)
    await beat(worker)

    delivered = await cancel(make, mutation)
    await beat(worker, appliedMutations=[mutation["id"]])
    applied = await cancel(make, mutation)

    assert delivered.status_code == applied.status_code == 409
    assert delivered.json()["reason"] == applied.json()["reason"] == "already_delivered"
    (stored,) = await listed(make, worker)
    assert (stored["status"], stored["cancelledAt"]) == ("applied", None)


async def test_a_cancel_and_a_delivery_at_once_have_one_winner(make):
    worker = await on_a_host(make)
    won = {"cancel": 0, "delivery": 0}
    for turn in range(40):
        mutation = await enqueue(make, worker)
        # Whoever is sent first tends to win, so they take turns.
        calls = [cancel(make, mutation), beat(worker)][:: (-1) ** turn]

        answers = await asyncio.gather(*calls)

        cancelled, said = answers[:: (-1) ** turn]
        (stored,) = await listed(make, worker, limit=1)
        if cancelled.status_code == 200:
            won["cancel"] += 1
            assert told(said) == []
            assert (stored["status"], stored["deliveredAt"]) == ("cancelled", None)
        else:
            won["delivery"] += 1
            assert cancelled.json()["reason"] == "already_delivered"
            assert told(said) == [mutation["id"]]
            assert (stored["status"], stored["cancelledAt"]) == ("delivered", None)
            await beat(worker, appliedMutations=[mutation["id"]])
    assert sum(won.values()) == 40


async def test_heartbeats_of_a_host_at_once_tell_and_settle_without_waiting_in_a_circle(make):
    worker = await on_a_host(make)
    for _ in range(3):
        queued = [(await enqueue(make, worker))["id"] for _ in range(10)]

        answers = await asyncio.gather(*(beat(worker) for _ in range(6)))
        settled = await asyncio.gather(
            *(beat(worker, appliedMutations=queued[:: (-1) ** each]) for each in range(6))
        )

        assert {tuple(told(answer)) for answer in answers} == {tuple(queued)}
        assert told(settled[-1]) in ([], queued)
        assert told(await beat(worker)) == []
