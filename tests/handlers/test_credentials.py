"""Credentials: set by the organization, given to the worker of a session, to nobody else."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.world import PROJECT_SCOPES

SNAPSHOT = "/api/daemon/credentials/snapshot"
ROTATE = "/api/daemon/credentials/rotate"
LONG = "sk-ant-0123456789abcdef-the-value"


def path(make, credential_id=None):
    return f"/api/org/{make.org_id}/credentials" + (f"/{credential_id}" if credential_id else "")


async def snapshot(make, caller, session_id, **body):
    return await caller.post(SNAPSHOT, json={"orgId": make.org_id, "sessionId": session_id, **body})


async def given(make, caller, session_id, **body):
    answer = await snapshot(make, caller, session_id, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["env"]


@pytest.fixture
async def working(make):
    """A worker, and a session that it holds."""
    worker = await make.worker()
    return worker, await make.claimed(worker)


# --- set, list, delete ---


async def test_a_credential_is_set_and_shown_masked(make, audit_log):
    made = await make.credential("anthropic", ANTHROPIC_API_KEY=LONG, SHORT="abc")

    listed = (await make.org.get(path(make))).json()
    assert made == {
        "id": made["id"],
        "orgId": make.org_id,
        "kind": "anthropic",
        "projectId": None,
        "envName": None,
        "variables": [
            {"name": "ANTHROPIC_API_KEY", "masked": "…alue"},
            {"name": "SHORT", "masked": "…"},
        ],
        "createdAt": made["createdAt"],
        "updatedAt": made["updatedAt"],
    }
    assert listed == {"credentials": [made], "nextCursor": None}
    assert await audit_log() == [("credential.set", made["id"])]


async def test_setting_again_replaces_all_variables_and_keeps_the_id(make, working):
    worker, session_id = working
    first = await make.credential("aws", KEY="1", SECRET="2")
    second = await make.credential("aws", KEY="3")

    assert second["id"] == first["id"]
    assert second["createdAt"] == first["createdAt"]
    assert second["updatedAt"] > first["updatedAt"]
    assert await given(make, worker.client, session_id) == {"KEY": "3"}


async def test_each_place_has_a_credential_of_its_own(make):
    places = [
        {},
        {"projectId": make.project_id},
        {"envName": "staging"},
        {"projectId": make.project_id, "envName": "staging"},
    ]
    made = [await make.credential("npm", place=place, A="1") for place in places]
    again = [await make.credential("npm", place=place, A="2") for place in places]

    assert len({each["id"] for each in made}) == 4
    assert [each["id"] for each in again] == [each["id"] for each in made]


async def test_twenty_who_set_one_credential_at_once_leave_one_that_opens(make, working):
    worker, session_id = working

    made = await asyncio.gather(*(make.credential("npm", TOKEN=f"npm-{n}") for n in range(20)))

    assert len({each["id"] for each in made}) == 1
    assert (await given(make, worker.client, session_id))["TOKEN"].startswith("npm-")
    assert len((await make.org.get(path(make))).json()["credentials"]) == 1


async def test_of_two_variables_of_one_name_the_last_counts(make, working):
    worker, session_id = working
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]

    await make.org.put(path(make), json={"kind": "npm", "variables": twice})

    assert await given(make, worker.client, session_id) == {"A": "2"}


async def test_a_deleted_credential_is_given_no_more(make, working, audit_log):
    worker, session_id = working
    made = await make.credential("npm", A="1")

    gone = await make.org.delete(path(make, made["id"]))
    again = await make.org.delete(path(make, made["id"]))

    assert gone.json() == {"deleted": True, "id": made["id"]}
    assert again.status_code == 404
    assert await given(make, worker.client, session_id) == {}
    assert await audit_log(of="credential.deleted") == [("credential.deleted", made["id"])]


async def test_a_project_must_be_the_organizations(make):
    theirs = await make.project(await make.organization())

    answer = await make.org.put(
        path(make),
        json={"kind": "a", "projectId": theirs, "variables": [{"name": "A", "value": "1"}]},
    )

    assert answer.status_code == 404
    assert answer.json() == {"error": "Project not found"}


@pytest.mark.parametrize(
    ("name", "value"), [("WORKER_API_KEY", "x" * 30), ("TOKEN", "rsk_live_" + "0" * 64)]
)
async def test_what_would_be_withheld_is_refused_when_it_is_set(make, name, value):
    answer = await make.org.put(
        path(make), json={"kind": "a", "variables": [{"name": name, "value": value}]}
    )

    assert answer.status_code == 400
    assert name in answer.json()["error"]
    assert value not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "a", "variables": "sk-the-secret-itself"},
        {"kind": "a", "variables": [{"name": "A", "value": 123454321}]},
        {"kind": "a", "variables": [{"name": "sk-the-secret-itself", "value": "x"}]},
        {"kind": "sk-THE-secret-itself", "variables": [{"name": "A", "value": "x"}]},
        {"kind": "a", "variables": [{"name": "A", "value": ["sk-the-secret-itself"]}]},
        {"kind": "a", "envName": "sk the secret", "variables": [{"name": "A", "value": "x"}]},
        {"kind": "a", "variables": [{"name": "A", "value": "sk-the-secret" + "x" * 70_000}]},
        "sk-the-secret-itself",
    ],
)
async def test_a_body_that_does_not_fit_is_told_without_a_word_of_it(make, body):
    answer = await make.org.put(path(make), json=body)

    assert answer.status_code == 400
    for part in ("sk-", "SECRET-ITSELF", "12345", "secret"):
        assert part.lower() not in answer.text.lower().replace("credential", "")


async def test_workers_keys_manage_no_credentials(make):
    key = await make.key(projects=[make.project_id], scopes=[*PROJECT_SCOPES, "sessions:read"])
    caller = make.client(key)

    for answer in (
        await caller.get(path(make)),
        await caller.put(path(make), json={"kind": "a", "variables": []}),
        await caller.post(ROTATE, json={"orgId": make.org_id, "kind": "a"}),
        await make.system.get(path(make)),
    ):
        assert answer.status_code == 403, answer.text


async def test_a_page_holds_no_more_than_asked(make):
    for n in range(5):
        await make.credential(f"kind-{n}", A="1")

    first = (await make.org.get(path(make) + "?limit=3")).json()
    second = (await make.org.get(path(make) + f"?limit=3&cursor={first['nextCursor']}")).json()

    kinds = [each["kind"] for each in first["credentials"] + second["credentials"]]
    assert kinds == [f"kind-{n}" for n in (4, 3, 2, 1, 0)]
    assert second["nextCursor"] is None


# --- the snapshot ---


async def test_a_worker_is_given_its_layers_and_the_narrower_wins(make, working, audit_log):
    worker, session_id = working
    other = await make.project()
    for value, place in (
        ("org", {}),
        ("project", {"projectId": make.project_id}),
        ("other", {"projectId": other}),
        ("staging", {"envName": "staging"}),
    ):
        await make.credential("npm", place=place, TOKEN=value, **{f"OF_{value.upper()}": "1"})

    plain = await snapshot(make, worker.client, session_id)
    staging = await given(make, worker.client, session_id, envName="staging")

    assert plain.json()["env"] == {"TOKEN": "project", "OF_ORG": "1", "OF_PROJECT": "1"}
    left = datetime.fromisoformat(plain.json()["refreshUntil"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left < timedelta(minutes=65)
    assert staging == {"TOKEN": "staging", "OF_ORG": "1", "OF_PROJECT": "1", "OF_STAGING": "1"}
    assert await audit_log(of="credential.snapshot") == [("credential.snapshot", session_id)] * 2


async def test_an_organization_without_credentials_gives_an_empty_map(make, working):
    worker, session_id = working

    answer = await snapshot(make, worker.client, session_id)

    assert answer.json()["env"] == {}
    assert answer.json()["lastEventId"] == "0"


async def test_the_registration_key_takes_the_snapshot_of_its_own_workers_only(make, working):
    _, session_id = working
    await make.credential("npm", A="1")
    own = make.client(make.worker_key)
    sibling = (await make.worker()).client
    other_key = make.client(await make.key(projects=[make.project_id]))

    assert await given(make, own, session_id) == {"A": "1"}
    for caller in (sibling, other_key, make.org):
        answer = await snapshot(make, caller, session_id)
        assert answer.status_code == 403
        assert "owned by another worker" in answer.json()["error"]


async def test_another_projects_worker_is_given_nothing(make, working):
    _, session_id = working
    elsewhere = await make.project()
    key = await make.key(projects=[elsewhere])
    stranger = await make.worker(key)
    own = await make.session(elsewhere, priority=1)
    await stranger.client.get(f"/api/workers/{stranger.id}/poll")
    await make.credential("npm", place={"projectId": make.project_id}, TOKEN="of the project")

    assert (await snapshot(make, stranger.client, session_id)).status_code == 404
    assert (
        await snapshot(make, stranger.client, own, projectId=make.project_id)
    ).status_code == 404
    assert await given(make, stranger.client, own) == {}
    assert await given(make, stranger.client, own, projectId=elsewhere) == {}


async def test_another_organization_is_403(make, working):
    worker, session_id = working
    theirs = await make.organization()

    answer = await worker.client.post(SNAPSHOT, json={"orgId": theirs, "sessionId": session_id})

    assert answer.status_code == 403


async def test_a_session_that_nobody_holds_is_given_nothing(make):
    worker = await make.worker()
    session_id = await make.session()

    assert (await snapshot(make, worker.client, session_id)).status_code == 403
    assert (await snapshot(make, worker.client, "nobodys")).status_code == 404


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_an_ended_session_is_given_nothing_more(make, working, status):
    worker, session_id = working
    await make.credential("npm", A="1")
    for each in ("running", status):
        await worker.client.post(
            f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": each}
        )

    answer = await snapshot(make, worker.client, session_id)

    assert answer.status_code == 409
    assert status in answer.json()["error"]


async def test_asking_keeps_the_lease(make, working):
    worker, session_id = working
    await make.owner.execute(
        "update sessions set last_call_at = now() - interval '40 seconds', confirmed = false"
        " where id = %s",
        (session_id,),
    )

    await snapshot(make, worker.client, session_id)

    stored = await make.owner.execute(
        "select last_call_at > now() - interval '5 seconds' as fresh, confirmed from sessions"
        " where id = %s",
        (session_id,),
    )
    assert tuple(await stored.fetchone()) == (True, True)


async def test_a_row_in_anothers_place_is_not_opened(make, working, caplog):
    """Whoever can write to the database, and has no key, gets no secret into another project."""
    worker, session_id = working
    elsewhere = await make.project()
    moved = await make.credential("npm", place={"projectId": elsewhere}, TOKEN="not for you")
    await make.owner.execute(
        "update credentials set project_id = %s where id = %s", (make.project_id, moved["id"])
    )

    answer = await snapshot(make, worker.client, session_id)
    listed = await make.org.get(path(make))

    assert answer.status_code == 500
    assert answer.json() == {"error": "Internal server error"}
    assert "not for you" not in caplog.text
    assert [v["masked"] for v in listed.json()["credentials"][0]["variables"]] == [None]


# --- rotation, as the one who rotates sees it ---


async def test_a_rotation_is_answered_and_recorded(make, audit_log):
    await make.credential("anthropic", ANTHROPIC_API_KEY=LONG)

    answer = await make.org.post(ROTATE, json={"orgId": make.org_id, "kind": "anthropic"})

    assert answer.json() == {
        "ok": True,
        "kind": "anthropic",
        "sessionCount": 0,
        "rotatedAt": answer.json()["rotatedAt"],
    }
    assert await audit_log(of="credential.rotated") == [("credential.rotated", "anthropic")]


async def test_a_kind_that_the_organization_has_not_is_404(make):
    other = await make.organization()
    await make.credential("anthropic", other, A="1")

    answer = await make.org.post(ROTATE, json={"orgId": make.org_id, "kind": "anthropic"})
    theirs = await make.org.post(ROTATE, json={"orgId": other, "kind": "anthropic"})

    assert (answer.status_code, answer.json()) == (404, {"error": "Credential not found"})
    assert theirs.status_code == 403


async def test_rotations_at_once_are_numbered_without_a_gap(make, working):
    worker, session_id = working
    for kind in ("a", "b", "c"):
        await make.credential(kind, **{kind.upper(): "1"})

    answers = await asyncio.gather(
        *(
            make.org.post(ROTATE, json={"orgId": make.org_id, "kind": kind})
            for kind in ("a", "b", "c") * 6
        )
    )

    assert {answer.status_code for answer in answers} == {200}
    rows = await make.owner.execute(
        "select payload ->> 'number' as n from happened"
        " where org_id = %s and event_type = 'credential.rotated'",
        (make.org_id,),
    )
    assert sorted(int(row.n) for row in await rows.fetchall()) == list(range(1, 19))
    answer = await snapshot(make, worker.client, session_id)
    assert answer.json()["lastEventId"] == "18"


async def test_no_answer_but_the_snapshot_has_a_value(make, working):
    made = await make.credential("anthropic", ANTHROPIC_API_KEY=LONG)
    rotated = await make.org.post(ROTATE, json={"orgId": make.org_id, "kind": "anthropic"})
    listed = await make.org.get(path(make))

    assert LONG not in json.dumps(made) + rotated.text + listed.text
