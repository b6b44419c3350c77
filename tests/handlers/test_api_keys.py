"""Minting, listing and revoking API keys."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

WORKER_SCOPES = ["worker:register", "worker:poll", "worker:heartbeat", "worker:session"]


def path(make, key_id=""):
    return f"/api/org/{make.org_id}/keys" + (f"/{key_id}" if key_id else "")


def in_(**time):
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def mint(client, make, **body):
    return await client.post(path(make), json={"name": "nightly", "projects": "all", **body})


async def all_pages(client, address, member, limit):
    """Every page of a list, to its end."""
    pages, cursor = [], None
    while True:
        asked = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = (await client.get(address, params=asked)).json()
        pages.append(answer[member])
        cursor = answer["nextCursor"]
        if cursor is None:
            return pages


# --- mintApiKey ----------------------------------------------------------------------------------


async def test_a_key_of_all_projects_may_do_everything_by_default(make):
    answer = await mint(make.org, make)

    key = answer.json()["key"]
    assert answer.status_code == 201
    assert (key["orgId"], key["name"], key["projectIds"]) == (make.org_id, "nightly", "all")
    assert (key["scopes"], key["expiresAt"]) == (["*"], None)
    assert len(key["fullKey"]) == 73
    assert key["keyPrefix"] == key["fullKey"][:13]
    assert (await make.client(key["fullKey"]).get("/api/cli/whoami")).status_code == 200


async def test_a_key_of_projects_is_a_workers_key_by_default(make):
    key = (await mint(make.org, make, projects=[make.project_id])).json()["key"]

    assert (key["scopes"], key["projectIds"]) == (WORKER_SCOPES, [make.project_id])


async def test_what_is_named_twice_counts_once(make):
    scopes = ["sessions:read", "sessions:read"]

    answer = await mint(make.org, make, projects=[make.project_id] * 3, scopes=scopes)

    key = answer.json()["key"]
    assert (key["scopes"], key["projectIds"]) == (["sessions:read"], [make.project_id])


async def test_only_the_sha256_of_a_key_is_kept(make, owner):
    key = (await mint(make.org, make)).json()["key"]

    found = await owner.execute(
        "select k.*, k::text as all from api_keys k where id=%s", [key["id"]]
    )
    row = await found.fetchone()
    assert bytes(row.key_hash) == hashlib.sha256(key["fullKey"].encode()).digest()
    assert row.prefix == key["fullKey"][:13]
    assert key["fullKey"][13:] not in row.all


async def test_minting_is_audited_without_the_secret(make, owner, audit_log):
    key = (await mint(make.org, make, scopes=["sessions:read"])).json()["key"]

    found = await owner.execute(
        "select actor_type, payload, payload::text as text from happened where entity_id=%s",
        [key["id"]],
    )
    row = await found.fetchone()
    assert await audit_log() == [("api_key.minted", key["id"])]
    assert row.actor_type == "api_key"
    assert row.payload == {
        "prefix": key["keyPrefix"],
        "scopes": ["sessions:read"],
        "projectIds": "all",
    }
    assert key["fullKey"][13:] not in row.text


async def test_nobody_mints_a_scope_that_they_lack(make):
    keeper = make.client(await make.key(scopes=["org_keys:write", "sessions:read"]))

    refused = [
        await mint(keeper, make, scopes=["org:write"]),
        await mint(keeper, make, scopes=["sessions:read", "projects:write"]),
        await mint(keeper, make, scopes=["*"]),
        await mint(keeper, make),
    ]

    assert [answer.status_code for answer in refused] == [403] * 4
    assert [answer.json()["error"].rpartition(": ")[2] for answer in refused] == [
        "org:write",
        "projects:write",
        "*",
        "*",
    ]


async def test_worker_scopes_and_those_one_has_may_be_passed_on(make):
    keeper = make.client(await make.key(scopes=["org_keys:write", "sessions:read"]))

    answers = [
        await mint(keeper, make, projects=[make.project_id]),
        await mint(keeper, make, scopes=WORKER_SCOPES),
        await mint(keeper, make, scopes=["sessions:read", "org_keys:write"]),
        await mint(keeper, make, projects=[make.project_id], scopes=["sessions:read"]),
    ]

    assert [answer.status_code for answer in answers] == [201] * 4


@pytest.mark.parametrize("scope", ["*", "org_keys:write"])
async def test_what_reaches_the_whole_organization_is_for_org_wide_keys_only(make, scope):
    answers = [
        await mint(caller, make, projects=[make.project_id], scopes=["sessions:read", scope])
        for caller in (make.org, make.system)
    ]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json() == {"error": f'scopes: {scope} needs projects: "all"'}


async def test_nobody_mints_the_system_scope(make):
    answers = [await mint(caller, make, scopes=["system"]) for caller in (make.org, make.system)]

    assert [answer.status_code for answer in answers] == [400, 400]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "  "}, "body.name"),
        ({"name": "x" * 201}, "body.name"),
        ({"name": 7}, "body.name"),
        ({"projects": []}, "body.projects"),
        ({"projects": "some"}, "body.projects"),
        ({"projects": None}, "body.projects"),
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["fly"]}, "body.scopes"),
        ({"scopes": "*"}, "body.scopes"),
        ({"expiresAt": "soon"}, "body.expiresAt"),
        ({"expiresAt": 1782896400}, "body.expiresAt"),
    ],
)
async def test_a_body_that_breaks_the_contract_is_told_where(make, body, place):
    answer = await mint(make.org, make, **body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(place)


@pytest.mark.parametrize("missing", ["name", "projects"])
async def test_name_and_projects_are_required(make, missing):
    body = {"name": "nightly", "projects": "all"}
    del body[missing]

    answer = await make.org.post(path(make), json=body)

    assert (answer.status_code, answer.json()) == (400, {"error": f"body.{missing}: is required"})


async def test_members_that_the_server_does_not_know_are_let_be(make):
    assert (await mint(make.org, make, keyType="user", note={"a": 1})).status_code == 201


async def test_a_key_ends_at_its_time(make, owner):
    key = (await mint(make.org, make, expiresAt=in_(hours=1))).json()["key"]
    client = make.client(key["fullKey"])
    before = await client.get("/api/cli/whoami")

    await owner.execute("update api_keys set expires_at=now() where id=%s", [key["id"]])
    after = await client.get("/api/cli/whoami")

    assert (before.status_code, after.status_code) == (200, 401)
    assert after.json() == {"error": "The key is unknown, expired or revoked"}


async def test_an_expiry_is_kept_to_the_instant_whatever_its_offset(make):
    key = (await mint(make.org, make, expiresAt="2999-07-01T11:00:00.250+02:00")).json()["key"]

    assert key["expiresAt"] == "2999-07-01T09:00:00.250Z"


@pytest.mark.parametrize(
    "expires_at",
    [
        "2020-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2999-06-30T23:59:60Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
async def test_an_expiry_that_is_past_or_cannot_be_stored_is_refused(make, expires_at):
    answer = await mint(make.org, make, expiresAt=expires_at)

    assert answer.status_code == 400, answer.text
    assert "expiresAt: " in answer.json()["error"]


async def test_an_unknown_project_or_one_of_another_organization_is_not_found(make):
    other_org = await make.organization()
    foreign = await make.project(other_org)

    answers = [
        await mint(caller, make, projects=[make.project_id, project_id])
        for caller in (make.org, make.system)
        for project_id in ("proj_of_nobody", foreign)
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert answers[0].json() == {"error": "Project not found: proj_of_nobody"}


async def test_keys_of_another_organization_are_out_of_reach(make):
    other_org = await make.organization()
    stranger = make.client(await make.key(other_org))
    key = await make.key_answer()

    answers = [
        await mint(stranger, make),
        await stranger.get(path(make)),
        await stranger.delete(path(make, key["id"])),
        await stranger.delete(f"/api/org/{other_org}/keys/{key['id']}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert (await make.client(key["fullKey"]).get("/api/cli/whoami")).status_code == 200


async def test_the_system_key_mints_for_any_organization_but_not_for_one_that_is_not(make):
    made = await mint(make.system, make)
    missing = await make.system.post(
        "/api/org/org_of_nobody/keys", json={"name": "x", "projects": "all"}
    )

    assert made.status_code == 201
    assert (missing.status_code, missing.json()) == (404, {"error": "Organization not found"})


async def test_a_project_key_cannot_manage_keys_whatever_it_says(make):
    key = await make.key_answer()
    worker = make.client(make.worker_key)

    answers = [
        await mint(worker, make, projects=[make.project_id]),
        await worker.get(path(make)),
        await worker.delete(path(make, key["id"])),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3


async def test_a_key_without_the_scope_cannot_manage_keys(make):
    reader = make.client(await make.key(scopes=["sessions:read", "org:write"]))

    answer = await mint(reader, make, scopes=["sessions:read"])

    assert answer.status_code == 403
    assert answer.json() == {"error": "The credential lacks the scope org_keys:write"}


# --- listApiKeys ---------------------------------------------------------------------------------


async def test_keys_are_listed_newest_first_without_secrets_and_with_the_revoked_ones(make):
    key = await make.key_answer(name="third", projects=[make.project_id])
    await make.org.delete(path(make, key["id"]))

    answer = await make.org.get(path(make))

    shown = answer.json()["keys"]
    assert answer.json()["nextCursor"] is None
    assert [each["projectIds"] for each in shown] == [[make.project_id]] * 2 + ["all"]
    assert shown[0].keys() == key.keys() - {"fullKey"} | {"revokedAt"}
    assert shown[0]["revokedAt"] is not None
    assert shown[1]["revokedAt"] is None
    assert key["fullKey"][13:] not in answer.text


async def test_pages_of_keys_hold_each_once_even_when_made_at_the_same_instant(make, owner):
    made = [(await make.key_answer())["id"] for _ in range(5)]
    await owner.execute(
        "update api_keys set created_at='2026-01-01' where org_id=%s and id=any(%s)",
        [make.org_id, made],
    )

    pages = await all_pages(make.org, path(make), "keys", limit=2)

    listed = [key["id"] for page in pages for key in page]
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert listed[2:] == sorted(made, reverse=True)
    assert len(set(listed)) == 7


async def test_a_page_holds_fifty_by_default_and_two_hundred_at_the_most(make, owner):
    await owner.execute(
        "insert into api_keys (id, org_id, name, prefix, key_hash, scopes)"
        " select 'key_' || md5(%s || n), %s, 'x', 'x', sha256((%s || n)::bytea), '{}'"
        " from generate_series(1, 250) n",
        [make.org_id] * 3,
    )

    default = await make.org.get(path(make))
    most = await make.org.get(path(make), params={"limit": 200})
    too_many = await make.org.get(path(make), params={"limit": 201})

    assert len(default.json()["keys"]) == 50
    assert len(most.json()["keys"]) == 200
    assert too_many.status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": "1.5"},
        {"limit": ""},
        {"limit": "9" * 30},
        {"cursor": ""},
        {"cursor": "x"},
        {"cursor": "12"},
        {"cursor": "1_key'--"},
        {"cursor": "9" * 17 + "_key"},
        {"cursor": "1_key\n"},
    ],
)
async def test_a_page_that_cannot_be_is_refused(make, query):
    answer = await make.org.get(path(make), params=query)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"query.{next(iter(query))}: ")


async def test_a_cursor_at_the_end_of_time_is_only_a_place(make):
    latest = await make.org.get(path(make), params={"cursor": "9" * 16 + "_key"})
    earliest = await make.org.get(path(make), params={"cursor": "0_key"})

    assert len(latest.json()["keys"]) == 2
    assert earliest.json() == {"keys": [], "nextCursor": None}


# --- revokeApiKey --------------------------------------------------------------------------------


async def test_revoking_ends_the_key_its_workers_and_its_browser_sessions_at_once(make):
    key = await make.key_answer(projects=[make.project_id])
    holder = make.client(key["fullKey"])
    worker = await make.worker(key["fullKey"])
    bystander = await make.worker()
    await holder.get(f"/api/workers/{worker.id}/poll")  # known from memory now
    cookie = (await make.client(key["fullKey"]).post("/api/auth/session")).cookies["wos-session"]
    browser = make.client(headers={"Cookie": f"wos-session={cookie}"})
    assert (await browser.get("/api/cli/whoami")).status_code == 200

    revoked = await make.org.delete(path(make, key["id"]))

    assert revoked.json().keys() == {"revoked", "id", "revokedAt"}
    ended = [
        await holder.get("/api/cli/whoami"),
        await browser.get("/api/cli/whoami"),
        await holder.post("/api/workers/register", json={"hostname": "forge-01"}),
        *[
            answer
            for caller in (worker.client, holder)
            for answer in (
                await caller.get(f"/api/workers/{worker.id}/poll"),
                await caller.post(f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 0}),
                await caller.post(f"/api/workers/{worker.id}/refresh-token"),
            )
        ],
    ]
    assert [answer.status_code for answer in ended] == [401] * len(ended)
    beat = f"/api/workers/{bystander.id}/heartbeat"
    assert (await bystander.client.post(beat, json={"activeCount": 0})).status_code == 200


async def test_a_key_that_revokes_itself_is_answered_and_then_over(make):
    key = await make.key_answer()
    itself = make.client(key["fullKey"])

    first = await itself.delete(path(make, key["id"]))
    second = await itself.delete(path(make, key["id"]))

    assert (first.status_code, second.status_code) == (200, 401)


async def test_revoking_again_changes_nothing_and_is_audited_once(make, audit_log):
    key = await make.key_answer()

    first = await make.org.delete(path(make, key["id"]))
    second = await make.system.delete(path(make, key["id"]))

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert await audit_log(of="api_key.revoked") == [("api_key.revoked", key["id"])]


async def test_an_unknown_key_is_not_found(make, audit_log):
    answer = await make.org.delete(path(make, "key_of_nobody"))

    assert (answer.status_code, answer.json()) == (404, {"error": "Key not found"})
    assert await audit_log() == []
