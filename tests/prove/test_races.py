"""What happens at once on a server of two web processes happens as if one came after the other."""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections import Counter

import pytest

from bench.connections import Answer, Caller
from bench.servers import LINEAR_SECRET
from bench.tenants import Tenant
from tests.factories import linear_event
from tests.prove.fleet import recorded

pytestmark = pytest.mark.prove

BOUND_SECONDS = 60


@pytest.fixture
async def owner(shared_server, connect):
    return await connect(shared_server.owner_url)


@pytest.fixture
async def tenant(shared_server):
    return await Tenant.make(shared_server.port, f"race-{secrets.token_hex(4)}")


async def at_once(port: int, calls: list[tuple[str | None, str, str, object]]) -> list[Answer]:
    """Send (token, method, path, body) each over a connection of its own, all in one moment."""
    callers = [Caller(port, token) for token, *_ in calls]
    async with asyncio.timeout(BOUND_SECONDS):
        # Opening the connections first lets the requests themselves meet.
        await asyncio.gather(*(caller.connect() for caller in callers))
        answers = await asyncio.gather(
            *(
                caller.call(method, path, body)
                for caller, (_, method, path, body) in zip(callers, calls, strict=True)
            )
        )
    for caller in callers:
        caller.close()
    return answers


def poll(worker) -> tuple[str, str, str, None]:
    return worker.token, "GET", f"/api/workers/{worker.id}/poll", None


def claimed(answers: list[Answer]) -> list[str]:
    assert {answer.status for answer in answers} == {200}
    return [each for answer in answers for each in answer.json()["claimedSessionIds"]]


async def claim_one(tenant, owner, prefix: str = "ses-"):
    """A worker that holds the one session there is."""
    worker = await tenant.worker(capacity=1)
    await tenant.queue(owner, 1, prefix)
    (session_id,) = claimed(await at_once(tenant.port, [poll(worker)]))
    return worker, session_id


async def test_twenty_polls_at_once_by_one_worker_never_exceed_its_capacity(tenant, owner, scaled):
    await tenant.queue(owner, 500, "ses-")
    for _ in range(scaled(20, 4)):
        worker = await tenant.worker(capacity=5)

        got = claimed(await at_once(tenant.port, [poll(worker)] * 20))

        assert len(got) == len(set(got)) == 5


async def test_sixteen_workers_polling_at_once_never_share_a_session(tenant, owner, scaled):
    workers = [await tenant.worker(capacity=1_000_000) for _ in range(16)]
    count = scaled(40, 5) * 80
    await tenant.queue(owner, count, "ses-")
    seen: Counter[str] = Counter()

    while got := claimed(await at_once(tenant.port, [poll(worker) for worker in workers])):
        seen.update(got)

    assert seen == Counter(f"ses-{n}" for n in range(1, count + 1))
    assert await recorded(owner, tenant.org_id, "session.claimed") == seen


async def test_a_worker_may_have_room_for_a_million(tenant, owner):
    worker = await tenant.worker(capacity=1_000_000)
    await tenant.queue(owner, 60, "ses-")

    got = claimed(await at_once(tenant.port, [poll(worker)] * 12))
    (beat,) = await at_once(
        tenant.port,
        [(worker.token, "POST", f"/api/workers/{worker.id}/heartbeat", {"activeCount": 60})],
    )

    assert len(got) == len(set(got)) == 60
    assert beat.json()["pendingWorkCount"] == 0


async def test_registrations_at_once_are_workers_of_their_own(tenant, owner, scaled):
    for _ in range(scaled(20, 3)):
        answers = await at_once(
            tenant.port,
            [(tenant.worker_key, "POST", "/api/workers/register", {"hostname": "forge"})] * 2,
        )

        assert [answer.status for answer in answers] == [201, 201]
        assert len({answer.json()["workerId"] for answer in answers}) == 2


async def test_two_registrations_at_once_of_one_machine_leave_one_that_gets_work(
    tenant, owner, scaled
):
    for n in range(scaled(20, 5)):
        body = {"hostname": "forge", "machineId": f"machine-{n}"}
        answers = await at_once(
            tenant.port, [(tenant.worker_key, "POST", "/api/workers/register", body)] * 2
        )

        assert [answer.status for answer in answers] == [201, 201]
        rows = await owner.execute(
            "select count(*) as n from workers"
            " where org_id = %s and machine_id = %s and retired_at is null",
            (tenant.org_id, body["machineId"]),
        )
        assert (await rows.fetchone()).n == 1


async def test_a_revoked_key_leaves_no_living_worker_though_some_register_meanwhile(
    tenant, owner, scaled
):
    for _ in range(scaled(30, 5)):
        made = (
            await at_once(
                tenant.port,
                [
                    (
                        tenant.org_key,
                        "POST",
                        f"/api/org/{tenant.org_id}/keys",
                        {
                            "name": "short-lived",
                            "projects": [tenant.project_id],
                        },
                    )
                ],
            )
        )[0].json()["key"]
        register = (made["fullKey"], "POST", "/api/workers/register", {"hostname": "forge"})
        revoke = (
            tenant.org_key,
            "DELETE",
            f"/api/org/{tenant.org_id}/keys/{made['id']}",
            None,
        )

        *registered, revoked = await at_once(
            tenant.port, [*[register] * 4, revoke, *[register] * 4, revoke]
        )

        assert revoked.status == 200, revoked.body
        assert {answer.status for answer in registered} <= {200, 201, 401}
        rows = await owner.execute(
            "select count(*) as n from workers where registration_id = %s and revoked_at is null",
            (made["id"],),
        )
        assert (await rows.fetchone()).n == 0


@pytest.mark.parametrize("ids", ["equal", "different"])
async def test_fifty_equal_deliveries_at_once_are_one_event(shared_server, owner, ids):
    body = json.dumps(linear_event("nobody", f"ses-{secrets.token_hex(8)}")).encode()
    signature = hmac.new(LINEAR_SECRET.encode(), body, hashlib.sha256).hexdigest()
    one = secrets.token_hex(8)

    async def deliver() -> dict[str, object]:
        delivery = one if ids == "equal" else secrets.token_hex(8)
        reader, writer = await asyncio.open_connection("127.0.0.1", shared_server.port)
        head = (
            "POST /api/webhooks/ingest/linear HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Linear-Signature: {signature}\r\nLinear-Delivery: {delivery}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    async with asyncio.timeout(BOUND_SECONDS):
        answers = await asyncio.gather(*(deliver() for _ in range(50)))

    (event_id,) = [answer["eventId"] for answer in answers if "eventId" in answer]
    assert sum(answer.get("duplicate") is True for answer in answers) == 49
    rows = await owner.execute("select id from webhook_events where body = %s", (body,))
    assert [row.id for row in await rows.fetchall()] == [event_id]


async def test_completed_posted_twenty_times_at_once_is_one_event(tenant, owner, scaled):
    for n in range(scaled(10, 2)):
        worker, session_id = await claim_one(tenant, owner, f"ses-{n}-")
        completed = {"workerId": worker.id, "status": "completed"}

        answers = await at_once(
            tenant.port,
            [(worker.token, "POST", f"/api/sessions/{session_id}/status", completed)] * 20,
        )

        assert {answer.status for answer in answers} == {200}
        events = await recorded(owner, tenant.org_id, "session.completed")
        assert events[session_id] == 1


async def test_activities_posted_at_once_have_numbers_without_a_gap(tenant, owner, scaled):
    worker, session_id = await claim_one(tenant, owner)
    rounds = scaled(20, 3)
    for n in range(rounds):
        calls = [
            (
                worker.token,
                "POST",
                f"/api/sessions/{session_id}/activity",
                {
                    "workerId": worker.id,
                    "activity": {"type": "thought", "content": f"{n}.{each}"},
                },
            )
            for each in range(16)
        ]
        assert {answer.status for answer in await at_once(tenant.port, calls)} == {200}

    rows = await owner.execute(
        "select seq, activity ->> 'content' as content from activities where org_id = %s"
        " order by seq",
        (tenant.org_id,),
    )
    stored = await rows.fetchall()
    assert [row.seq for row in stored] == list(range(1, rounds * 16 + 1))
    assert len({row.content for row in stored}) == rounds * 16
