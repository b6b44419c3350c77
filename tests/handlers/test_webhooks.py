"""Webhooks: verified, stored once, answered, then worked on."""

import asyncio
import hashlib
import hmac
import json
import secrets
from dataclasses import replace

import pytest
from redis.asyncio import Redis

import settings
from auth.sealing import MasterKey
from domain.ids import public_session_id
from jobs.deliver_events import deliver_events
from persistence import audit, sessions
from persistence.ephemeral import nudges, store
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed

OWN_SECRET = "an organization's own secret"
INGEST = "/api/webhooks/ingest"


def sign(provider, secret, body, **headers):
    """Body and headers as this provider sends them."""
    algorithm = "sha1" if provider == "vercel" else "sha256"
    digest = hmac.new(secret.encode(), body, algorithm).hexdigest()
    header = {
        "linear": {"Linear-Signature": digest},
        "github": {"X-Hub-Signature-256": "sha256=" + digest},
        "github-actions": {"X-Hub-Signature-256": "sha256=" + digest},
        "vercel": {"X-Vercel-Signature": digest},
    }[provider]
    return {"content": body, "headers": {"Content-Type": "application/json", **header, **headers}}


async def deliver(client, provider, secret, payload, **headers):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return await client.post(f"{INGEST}/{provider}", **sign(provider, secret, body, **headers))


async def map_workspace(make, *, by=None, org_id=None, project_id=None, workspace_id=None):
    workspace_id = workspace_id or f"lin-{secrets.token_hex(4)}"
    answer = await (by or make.system).post(
        f"/api/org/{org_id or make.org_id}/workspaces",
        json={
            "provider": "linear",
            "workspaceId": workspace_id,
            "projectId": project_id or make.project_id,
        },
    )
    assert answer.status_code == 201, answer.text
    return workspace_id


async def own_secret(make, org_id, secret):
    answer = await make.system.patch(
        f"/api/org/{org_id}/settings", json={"webhookSecrets": {"linear": secret}}
    )
    assert answer.status_code == 200


@pytest.fixture
def stored(owner):
    """The stored event behind an answer."""

    async def find(answer):
        rows = await owner.execute(
            "select * from webhook_events where id=%s", [answer.json()["eventId"]]
        )
        return await rows.fetchone()

    return find


@pytest.fixture
def session_ids(owner):
    """The ids of an organization's sessions."""

    async def find(org_id):
        rows = await owner.execute("select id from sessions where org_id=%s", [org_id])
        return [row.id for row in await rows.fetchall()]

    return find


# --- signatures ----------------------------------------------------------------------------------

VECTORS = {
    "linear": (
        "lin_wh_secret",
        b'{"action":"update","type":"Issue","webhookTimestamp":1751360400000}',
        {"Linear-Signature": "f28c3e27064339e4d3d90bcca4c28ecf6e4136e722f9adc1d246e38e745ea298"},
    ),
    "github": (
        "gh_wh_secret",
        b'{"action":"opened","number":7}',
        {
            "X-Hub-Signature-256": "sha256="
            "8092dc496c35a4ba1a16c88afe81c2ef79f20e14ae0bfc4e45b10675b50a15a8"
        },
    ),
    "vercel": (
        "vc_wh_secret",
        b'{"id":"evt_1","type":"deployment.succeeded","payload":{}}',
        {"x-vercel-signature": "8c37326e553ea01f314e3d9e4483c9dfddbd4975"},
    ),
}
VECTORS["github-actions"] = VECTORS["github"]


@pytest.fixture
def vector_secrets(given, monkeypatch):
    """The shared secrets of the contract's vectors."""
    monkeypatch.setattr(
        settings,
        "_current",
        replace(
            given,
            webhook_secret_linear=settings.Secret(VECTORS["linear"][0]),
            webhook_secret_github=settings.Secret(VECTORS["github"][0]),
            webhook_secret_github_actions=settings.Secret(VECTORS["github"][0]),
            webhook_secret_vercel=settings.Secret(VECTORS["vercel"][0]),
        ),
    )


@pytest.mark.usefixtures("vector_secrets")
@pytest.mark.parametrize("provider", VECTORS)
async def test_the_vectors_of_the_contract_are_accepted(anonymous, provider):
    _, body, headers = VECTORS[provider]

    answer = await anonymous.post(
        f"{INGEST}/{provider}",
        content=body,
        headers={"Content-Type": "application/json", **headers},
    )

    assert (answer.status_code, answer.json()["ok"]) == (200, True)


async def test_linears_signature_may_come_under_its_older_name(anonymous):
    body = json.dumps(linear_event("lin-x")).encode()
    headers = sign("linear", LINEAR_SECRET, body)["headers"]
    headers["x-linear-signature"] = headers.pop("Linear-Signature")

    answer = await anonymous.post(f"{INGEST}/linear", content=body, headers=headers)

    assert answer.json()["ok"] is True


@pytest.mark.parametrize("provider", ["linear", "github", "vercel"])
async def test_a_delivery_without_its_signature_is_told_the_header(anonymous, provider):
    answer = await anonymous.post(f"{INGEST}/{provider}", json={"id": "evt_1"})

    header = next(iter(VECTORS[provider][2])).lower()
    assert answer.status_code == 401
    assert header in answer.json()["error"]


@pytest.mark.parametrize(
    ("provider", "headers"),
    [
        ("linear", {"X-Hub-Signature-256": "sha256={}"}),
        ("github", {"Linear-Signature": "{}"}),
        ("github", {"X-Hub-Signature": "sha1={}"}),
        ("github", {"X-Hub-Signature-256": "{}"}),
        ("vercel", {"Linear-Signature": "{}"}),
        ("linear", {"Linear-Signature": ""}),
        ("linear", {"Linear-Signature": "{}0"}),
        ("linear", {"Linear-Signature": "é" * 64}),
        ("linear", {"Authorization": "Bearer {}"}),
    ],
)
async def test_a_signature_in_the_wrong_place_or_form_is_refused(anonymous, provider, headers):
    secret = {"linear": LINEAR_SECRET, "github": "gh_wh_secret", "vercel": "vc_wh_secret"}[provider]
    body = b'{"id":"evt_9"}'
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    written = {name: text.format(digest).encode("latin-1") for name, text in headers.items()}

    answer = await anonymous.post(
        f"{INGEST}/{provider}",
        content=body,
        headers={"Content-Type": b"application/json", **written},
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("provider", ["linear", "github", "vercel"])
async def test_a_signature_of_another_secret_or_of_other_bytes_is_refused(
    anonymous, provider, owner
):
    secret = {"linear": LINEAR_SECRET, "github": "gh_wh_secret", "vercel": "vc_wh_secret"}[provider]
    body = json.dumps({"id": secrets.token_hex(8), "type": "Issue"}).encode()
    by_other = sign(provider, "another secret", body)
    other_bytes = {**sign(provider, secret, body), "content": body + b"\n"}
    respelled = {**sign(provider, secret, body), "content": body.replace(b": ", b":")}
    before = await (await owner.execute("select count(*) as n from webhook_events")).fetchone()

    answers = [
        await anonymous.post(f"{INGEST}/{provider}", **each)
        for each in (by_other, other_bytes, respelled)
    ]

    after = await (await owner.execute("select count(*) as n from webhook_events")).fetchone()
    assert [answer.status_code for answer in answers] == [401] * 3
    assert answers[0].json() == {"error": "The signature does not match the body"}
    assert before.n == after.n


@pytest.mark.parametrize(
    "workspace", ["\\u0000", "\\ud800", "\\udc00\\ud800", "😀", "' or '1'='1", "x" * 5000]
)
async def test_an_unsigned_body_that_claims_an_odd_workspace_is_only_refused(anonymous, workspace):
    body = f'{{"organizationId":"{workspace}"}}'.encode()

    answer = await deliver(anonymous, "linear", "another secret", body)

    assert answer.status_code == 401, answer.text


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b"", b"9" * 10_000])
async def test_an_unsigned_body_of_any_bytes_is_only_refused(anonymous, body):
    assert (await deliver(anonymous, "linear", "another secret", body)).status_code == 401


@pytest.mark.parametrize("provider", ["gitlab", "LINEAR", "linear ", "..", "%00", "github_actions"])
async def test_an_unknown_provider_is_refused(anonymous, provider):
    body = b"{}"
    answer = await anonymous.post(f"{INGEST}/{provider}", **sign("linear", LINEAR_SECRET, body))

    assert answer.status_code in ({404} if provider == ".." else {400}), answer.text


async def test_a_provider_without_a_secret_is_unavailable_and_the_setting_named(anonymous):
    answer = await deliver(anonymous, "github-actions", "gh_wh_secret", {"action": "completed"})

    assert answer.status_code == 503
    assert "WEBHOOK_SECRET_GITHUB_ACTIONS" in answer.json()["error"]
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "body", [b"not json", b"", b"[]", b'"text"', b"null", b'{"a":NaN}', b"{}{}", b"\xff\xfe"]
)
async def test_a_signed_body_that_is_no_json_object_is_refused_and_not_stored(
    anonymous, body, owner
):
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, body)

    rows = await owner.execute("select 1 from webhook_events where body=%s", [body])
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: ")
    assert await rows.fetchone() is None


async def test_a_webhook_may_have_25_megabytes_and_not_a_byte_more(anonymous, stored):
    limit = 25 * 1024 * 1024
    start = b'{"type":"Issue","pad":"' + secrets.token_hex(8).encode()

    most = start + b"x" * (limit - len(start) - 2) + b'"}'

    taken = await deliver(anonymous, "linear", LINEAR_SECRET, most)
    refused = await deliver(anonymous, "linear", LINEAR_SECRET, most + b" ")

    assert taken.status_code == 200
    assert len((await stored(taken)).body) == limit
    assert (refused.status_code, refused.json()) == (
        413,
        {"error": f"body: longer than {limit} bytes"},
    )


# --- stored once, before the answer --------------------------------------------------------------


async def test_the_event_is_committed_and_audited_before_the_answer(anonymous, owner, stored):
    event = linear_event("lin-of-nobody")
    request = signed(LINEAR_SECRET, event, delivery="delivery-" + secrets.token_hex(4))

    answer = await anonymous.post(f"{INGEST}/linear", **request)

    row = await stored(answer)
    audit = await owner.execute(
        "select * from happened where entity_id=%s", [answer.json()["eventId"]]
    )
    recorded = await audit.fetchone()
    assert answer.json() == {"ok": True, "eventId": row.id, "correlationId": row.correlation_id}
    assert bytes(row.body) == request["content"]
    assert (row.status, row.attempts, row.org_id, row.verified_by) == ("received", 0, None, "")
    assert row.event_name == "AgentSessionEvent.created"
    assert row.delivery_id == request["headers"]["Linear-Delivery"]
    assert (recorded.event_type, recorded.org_id) == ("webhook.ingest", "system")
    assert recorded.payload == {"provider": "linear", "correlationId": row.correlation_id}


@pytest.mark.parametrize("provider", ["linear", "github", "vercel"])
async def test_a_known_delivery_id_is_a_duplicate_whatever_the_body(anonymous, provider):
    delivery = secrets.token_hex(8)
    secret, header = {
        "linear": (LINEAR_SECRET, {"Linear-Delivery": delivery}),
        "github": ("gh_wh_secret", {"X-GitHub-Delivery": delivery}),
        "vercel": ("vc_wh_secret", {}),
    }[provider]
    payloads = [{"id": delivery, "n": secrets.token_hex(8)} for _ in range(2)]

    first = await deliver(anonymous, provider, secret, payloads[0], **header)
    second = await deliver(anonymous, provider, secret, payloads[1], **header)

    assert "duplicate" not in first.json()
    assert second.json() == {"ok": True, "duplicate": True}


async def test_a_caught_body_does_not_come_in_again_under_a_new_id(anonymous):
    event = linear_event("lin-of-nobody")

    answers = [
        await anonymous.post(f"{INGEST}/linear", **signed(LINEAR_SECRET, event, delivery=delivery))
        for delivery in (secrets.token_hex(8), secrets.token_hex(8))
    ]

    assert "duplicate" not in answers[0].json()
    assert answers[1].json() == {"ok": True, "duplicate": True}


async def test_a_missing_delivery_id_is_allowed_and_the_body_alone_tells_repeats(anonymous, stored):
    event, other = linear_event("lin-of-nobody"), linear_event("lin-of-nobody")

    first = await deliver(anonymous, "linear", LINEAR_SECRET, event)
    again = await deliver(anonymous, "linear", LINEAR_SECRET, event)
    different = await deliver(anonymous, "linear", LINEAR_SECRET, other)

    assert (await stored(first)).delivery_id is None
    assert again.json() == {"ok": True, "duplicate": True}
    assert "duplicate" not in different.json()


async def test_linears_webhook_id_is_no_delivery_id(anonymous):
    answers = [
        await deliver(anonymous, "linear", LINEAR_SECRET, linear_event("lin-of-nobody"))
        for _ in range(2)
    ]

    assert ["duplicate" in answer.json() for answer in answers] == [False, False]


async def test_a_delivery_id_of_one_provider_says_nothing_about_another(anonymous):
    delivery = secrets.token_hex(8)

    answers = [
        await deliver(
            anonymous, "linear", LINEAR_SECRET, {"n": delivery}, **{"Linear-Delivery": delivery}
        ),
        await deliver(
            anonymous, "github", "gh_wh_secret", {"n": delivery}, **{"X-GitHub-Delivery": delivery}
        ),
    ]

    assert ["duplicate" in answer.json() for answer in answers] == [False, False]


async def test_of_equal_deliveries_at_once_one_is_stored(anonymous, owner):
    event = linear_event("lin-of-nobody")
    request = signed(LINEAR_SECRET, event)

    answers = await asyncio.gather(
        *(anonymous.post(f"{INGEST}/linear", **request) for _ in range(6))
    )

    rows = await owner.execute(
        "select count(*) as n from webhook_events where body=%s", [request["content"]]
    )
    assert sorted("duplicate" in answer.json() for answer in answers) == [False] + [True] * 5
    assert (await rows.fetchone()).n == 1


async def test_crossed_repeats_at_once_wait_for_each_other_and_never_fail(anonymous):
    bodies = [json.dumps(linear_event("lin-of-nobody")).encode() for _ in range(2)]
    ids = [secrets.token_hex(8) for _ in range(2)]
    crossed = [(bodies[0], ids[0]), (bodies[1], ids[1]), (bodies[0], ids[1]), (bodies[1], ids[0])]

    answers = await asyncio.gather(
        *(
            anonymous.post(f"{INGEST}/linear", **signed(LINEAR_SECRET, body, delivery=delivery))
            for body, delivery in crossed * 4
        )
    )

    assert {answer.status_code for answer in answers} == {200}


async def test_an_event_of_github_is_named_by_its_header(anonymous, stored):
    answer = await deliver(
        anonymous,
        "github",
        "gh_wh_secret",
        {"action": "opened", "number": secrets.token_hex(4)},
        **{"X-GitHub-Event": "pull_request"},
    )

    assert (await stored(answer)).event_name == "pull_request.opened"


async def test_the_job_is_nudged_and_its_loss_is_no_ones_concern(anonymous, monkeypatch):
    nudged = asyncio.create_task(nudges.wait(nudges.EVENTS, 5))
    await asyncio.sleep(0.1)
    await deliver(anonymous, "linear", LINEAR_SECRET, linear_event("lin-of-nobody"))
    async with asyncio.timeout(2):
        await nudged
    away = Redis.from_url("unix:///nowhere.sock")
    monkeypatch.setattr(store, "_redis", away)

    answer = await deliver(anonymous, "linear", LINEAR_SECRET, linear_event("lin-of-nobody"))

    assert answer.status_code == 200
    await away.aclose()


# --- what follows --------------------------------------------------------------------------------


async def test_the_job_makes_the_session_once(anonymous, make, run_job, stored, audit_log, given):
    workspace_id = await map_workspace(make)
    event = linear_event(workspace_id, description="Refunds lose it.", priority=1)
    session_id = event["agentSession"]["id"]
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)

    worked = await run_job(deliver_events)
    idle = await run_job(deliver_events)
    session = await make.stored(session_id)
    row = await stored(answer)

    salt = MasterKey(given.master_key).derive("public session ids")
    assert worked >= 1
    assert idle == 0
    assert (row.status, row.org_id, row.attempts) == ("done", make.org_id, 1)
    assert row.outcome == f"session {session_id} queued"
    assert (session.status, session.project_id) == ("pending", make.project_id)
    assert (session.priority, session.work_type) == (1, "development")
    assert session.correlation_id == answer.json()["correlationId"]
    assert session.public_id == public_session_id(session_id, salt)
    assert session.work["body"] == "Refunds lose it."
    assert await audit_log(of="session.queued") == [("session.queued", session_id)]


async def test_two_events_of_one_session_make_it_once(
    anonymous, make, run_job, stored, session_ids
):
    workspace_id = await map_workspace(make)
    events = [linear_event(workspace_id, session_id="ses-of-" + make.slug) for _ in range(2)]
    answers = [await deliver(anonymous, "linear", LINEAR_SECRET, event) for event in events]

    await run_job(deliver_events)

    outcomes = sorted([(await stored(answer)).outcome for answer in answers])
    assert await session_ids(make.org_id) == ["ses-of-" + make.slug]
    assert [outcome.split()[-1] for outcome in outcomes] == ["already", "queued"]


async def test_jobs_at_once_work_on_each_event_once(
    anonymous, make, run_job, session_ids, audit_log
):
    await run_job(deliver_events)  # what other tests left
    workspace_id = await map_workspace(make)
    for _ in range(12):
        await deliver(anonymous, "linear", LINEAR_SECRET, linear_event(workspace_id))

    worked = await asyncio.gather(*(run_job(deliver_events) for _ in range(4)))

    assert sum(worked) == 12
    assert len(await session_ids(make.org_id)) == 12
    assert len(await audit_log(of="session.queued")) == 12


@pytest.mark.parametrize(
    ("state", "description", "work_type"),
    [
        ("Icebox", None, "research"),
        ("Icebox", "Write it down", "backlog-creation"),
        ("Backlog", None, "development"),
        ("Something else", None, "development"),
        ("Started", None, "inflight"),
        ("Finished", None, "qa"),
        ("Delivered", None, "acceptance"),
        ("Rejected", None, "refinement"),
    ],
)
async def test_the_issues_state_decides_the_work(
    anonymous, make, run_job, state, description, work_type
):
    workspace_id = await map_workspace(make)
    event = linear_event(workspace_id, state={"name": state}, description=description)
    await deliver(anonymous, "linear", LINEAR_SECRET, event)

    await run_job(deliver_events)

    assert (await make.stored(event["agentSession"]["id"])).work_type == work_type


async def test_an_unmapped_workspace_is_parked_and_never_guessed(
    anonymous, make, run_job, stored, session_ids
):
    await map_workspace(make)
    event = linear_event(f"lin-unmapped-{make.slug}", team={"key": "ENG"})
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)

    await run_job(deliver_events)

    row = await stored(answer)
    assert (row.status, row.org_id) == ("parked", None)
    assert await session_ids(make.org_id) == []


@pytest.mark.parametrize("claimed", [None, "", 7, ["lin"], {"id": "lin"}, "x" * 201])
async def test_an_event_that_names_no_workspace_is_parked(
    anonymous, make, run_job, stored, claimed
):
    event = {**linear_event("x"), "organizationId": claimed}
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)

    await run_job(deliver_events)

    assert (await stored(answer)).status == "parked"


@pytest.mark.parametrize("provider", ["github", "vercel"])
async def test_events_of_other_providers_are_kept_and_do_nothing(
    anonymous, make, run_job, stored, provider, session_ids
):
    workspace_id = await map_workspace(make)
    event = {**linear_event(workspace_id), "id": secrets.token_hex(8)}
    secret = {"github": "gh_wh_secret", "vercel": "vc_wh_secret"}[provider]
    answer = await deliver(anonymous, provider, secret, event)

    await run_job(deliver_events)

    assert (await stored(answer)).status == "parked"
    assert await session_ids(make.org_id) == []


@pytest.mark.parametrize(
    "changed", [{"action": "removed"}, {"type": "Cycle"}, {"action": None}, {"type": ["x"]}]
)
async def test_an_event_of_another_kind_is_done_and_does_nothing(
    anonymous, make, run_job, stored, changed, session_ids
):
    event = {**linear_event(await map_workspace(make)), **changed}
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)

    await run_job(deliver_events)

    assert ((await stored(answer)).status, await session_ids(make.org_id)) == ("done", [])


@pytest.mark.parametrize(
    "agent_session", [None, {}, {"id": ""}, {"id": 7}, {"id": "x" * 201}, [], "ses"]
)
async def test_an_unreadable_payload_is_dead_at_once_and_says_why(
    anonymous, make, run_job, stored, agent_session, session_ids
):
    event = {**linear_event(await map_workspace(make)), "agentSession": agent_session}
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)

    await run_job(deliver_events)

    row = await stored(answer)
    assert (row.status, row.attempts, row.org_id) == ("dead", 1, make.org_id)
    assert "agentSession.id" in row.outcome
    assert await session_ids(make.org_id) == []


async def test_an_event_that_fails_is_put_off_twice_as_long_each_time_and_then_dead(
    anonymous, make, run_job, stored, owner, monkeypatch
):
    async def fails(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(sessions, "add", fails)
    event = linear_event(await map_workspace(make))
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)
    waits = []
    for _ in range(8):
        await run_job(deliver_events)
        row = await stored(answer)
        rows = await owner.execute(
            "select extract(epoch from next_try_at - now())::float as wait, status"
            " from webhook_events where id=%s",
            [row.id],
        )
        waits.append((await rows.fetchone()).wait)
        await owner.execute("update webhook_events set next_try_at=now() where id=%s", [row.id])

    row = await stored(answer)
    assert (row.status, row.attempts, row.outcome) == ("dead", 8, "RuntimeError")
    for tries, wait in enumerate(waits, start=1):
        assert 2**tries - 1 < wait <= 2**tries * 1.5


async def test_an_event_that_failed_once_still_makes_its_session(
    anonymous, make, run_job, stored, owner, monkeypatch, session_ids
):
    async def fails(*_):
        raise RuntimeError("no")

    event = linear_event(await map_workspace(make))
    answer = await deliver(anonymous, "linear", LINEAR_SECRET, event)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "append", fails)
        await run_job(deliver_events)
        half_done = await session_ids(make.org_id)
    await owner.execute(
        "update webhook_events set next_try_at=now() where id=%s", [answer.json()["eventId"]]
    )

    await run_job(deliver_events)

    assert half_done == []
    assert await session_ids(make.org_id) == [event["agentSession"]["id"]]


# --- whose secret reaches whom -------------------------------------------------------------------


async def test_an_organization_with_its_own_secret_is_out_of_the_shared_ones_reach(
    anonymous, make, run_job, stored, session_ids
):
    workspace_id = await map_workspace(make)
    await own_secret(make, make.org_id, OWN_SECRET)
    by_shared = await deliver(anonymous, "linear", LINEAR_SECRET, linear_event(workspace_id))

    await run_job(deliver_events)

    row = await stored(by_shared)
    assert (row.status, row.org_id) == ("parked", None)
    assert await session_ids(make.org_id) == []


async def test_its_own_secret_reaches_the_organization(
    anonymous, make, run_job, stored, session_ids, audit_log
):
    await own_secret(make, make.org_id, OWN_SECRET)
    workspace_id = await map_workspace(make, by=make.org)
    event = linear_event(workspace_id)

    answer = await deliver(anonymous, "linear", OWN_SECRET, event)
    await run_job(deliver_events)

    row = await stored(answer)
    assert (row.verified_by, row.status) == (make.org_id, "done")
    assert await session_ids(make.org_id) == [event["agentSession"]["id"]]
    assert (await audit_log(of="webhook.ingest")) == [("webhook.ingest", row.id)]


async def test_an_organizations_own_secret_names_no_workspace_of_another(
    anonymous, make, run_job, session_ids
):
    other_org = await make.organization()
    other_project = await make.project(other_org)
    shared = await map_workspace(make, org_id=other_org, project_id=other_project)
    await own_secret(make, make.org_id, OWN_SECRET)
    await map_workspace(make, by=make.org)

    answer = await deliver(anonymous, "linear", OWN_SECRET, linear_event(shared))
    await run_job(deliver_events)

    assert answer.status_code == 401
    assert await session_ids(other_org) == await session_ids(make.org_id) == []


async def test_one_who_maps_anothers_workspace_gets_only_what_it_signed_itself(
    anonymous, make, run_job, session_ids
):
    thief = await make.organization()
    thiefs_key = make.client(await make.key(thief))
    workspace_id = await map_workspace(make)
    await own_secret(make, thief, "the secret of the thief")
    await map_workspace(
        make,
        by=thiefs_key,
        org_id=thief,
        project_id=await make.project(thief),
        workspace_id=workspace_id,
    )
    event = linear_event(workspace_id)
    forged = linear_event(workspace_id)

    await deliver(anonymous, "linear", LINEAR_SECRET, event)
    await deliver(anonymous, "linear", "the secret of the thief", forged)
    await run_job(deliver_events)

    assert await session_ids(make.org_id) == [event["agentSession"]["id"]]
    assert await session_ids(thief) == [forged["agentSession"]["id"]]


async def test_a_crowd_that_maps_the_same_workspace_locks_nobody_out(
    anonymous, make, run_job, session_ids
):
    workspace_id = f"lin-{make.slug}"
    for number in range(11):
        crowd = await make.organization()
        await own_secret(make, crowd, f"the secret of number {number}")
        await map_workspace(
            make,
            by=make.client(await make.key(crowd)),
            org_id=crowd,
            project_id=await make.project(crowd),
            workspace_id=workspace_id,
        )
    await own_secret(make, make.org_id, OWN_SECRET)
    await map_workspace(make, by=make.org, workspace_id=workspace_id)
    event = linear_event(workspace_id)

    answer = await deliver(anonymous, "linear", OWN_SECRET, event)
    await run_job(deliver_events)

    assert answer.status_code == 200
    assert await session_ids(make.org_id) == [event["agentSession"]["id"]]


async def test_a_removed_secret_ends_at_once(anonymous, make):
    await own_secret(make, make.org_id, OWN_SECRET)
    workspace_id = await map_workspace(make, by=make.org)
    before = await deliver(anonymous, "linear", OWN_SECRET, linear_event(workspace_id))

    await own_secret(make, make.org_id, None)
    after = await deliver(anonymous, "linear", OWN_SECRET, linear_event(workspace_id))

    assert (before.status_code, after.status_code) == (200, 401)


async def test_a_secret_removed_or_a_mapping_gone_before_the_job_runs_parks_the_event(
    anonymous, make, run_job, stored
):
    await own_secret(make, make.org_id, OWN_SECRET)
    workspace_id = await map_workspace(make, by=make.org)
    answer = await deliver(anonymous, "linear", OWN_SECRET, linear_event(workspace_id))
    listed = (await make.org.get(f"/api/org/{make.org_id}/workspaces")).json()["mappings"]
    await make.org.delete(f"/api/org/{make.org_id}/workspaces/{listed[0]['id']}")

    await run_job(deliver_events)

    assert (await stored(answer)).status == "parked"


async def test_one_organizations_deliveries_make_no_duplicates_of_anothers(anonymous, make):
    await own_secret(make, make.org_id, OWN_SECRET)
    workspace_id = await map_workspace(make, by=make.org)
    delivery = {"Linear-Delivery": secrets.token_hex(8)}

    by_shared = await deliver(
        anonymous, "linear", LINEAR_SECRET, linear_event("lin-of-nobody"), **delivery
    )
    by_own = await deliver(anonymous, "linear", OWN_SECRET, linear_event(workspace_id), **delivery)

    assert "duplicate" not in by_shared.json()
    assert "duplicate" not in by_own.json()
