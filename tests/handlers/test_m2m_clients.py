"""Machine-to-machine clients, and the OAuth endpoint that gives them tokens."""

import base64
import json
import time
from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest

import settings

TOKEN = "/api/oauth/token"
CLIENTS = "/api/admin/m2m-clients"
GRANT = "client_credentials"


async def new_client(make, *scopes, caller=None):
    answer = await (caller or make.org).post(
        CLIENTS, json={"name": "reporting", "scopes": list(scopes) or ["sessions:read"]}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["client"]


def fields(client, **changed):
    return {
        "grant_type": GRANT,
        "client_id": client["clientId"],
        "client_secret": client["clientSecret"],
        **changed,
    }


def basic(client_id, secret):
    raw = f"{client_id}:{secret}".encode() if isinstance(client_id, str) else client_id
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


async def token_of(make, client):
    answer = await make.client().post(TOKEN, data=fields(client))
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


# --- issueM2MToken -------------------------------------------------------------------------------


async def test_a_client_gets_a_token_by_form_by_json_and_by_basic(anonymous, make):
    client = await new_client(make)
    header = basic(client["clientId"], client["clientSecret"])

    answers = [
        await anonymous.post(TOKEN, data=fields(client)),
        await anonymous.post(TOKEN, json=fields(client)),
        await anonymous.post(TOKEN, data={"grant_type": GRANT}, headers=header),
        await anonymous.post(TOKEN, json={"grant_type": GRANT}, headers=header),
    ]

    for answer in answers:
        said = answer.json()
        assert answer.status_code == 200
        assert said.keys() == {"access_token", "token_type", "expires_in"}
        assert (said["token_type"], said["expires_in"]) == ("Bearer", 3600)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        whoami = await make.client(said["access_token"]).get("/api/cli/whoami")
        assert whoami.json()["org"]["id"] == make.org_id


async def test_the_token_says_whose_it_is_for_how_long_and_for_what(make):
    client = await new_client(make, "sessions:read", "org:read")
    before = int(time.time())

    claims = claims_of(await token_of(make, client))

    assert claims == {
        "sub": client["clientId"],
        "org_id": make.org_id,
        "workspace_id": make.org_id,
        "scopes": ["sessions:read", "org:read"],
        "iss": "rensei-platform",
        "aud": "rensei-api",
        "iat": claims["iat"],
        "exp": claims["iat"] + 3600,
    }
    assert before <= claims["iat"] <= time.time()


async def test_the_lifetime_is_a_setting(make, given, monkeypatch):
    monkeypatch.setattr(settings, "_current", replace(given, m2m_token_lifetime=7))
    client = await new_client(make)

    answer = await make.client().post(TOKEN, data=fields(client))

    claims = claims_of(answer.json()["access_token"])
    assert answer.json()["expires_in"] == 7
    assert claims["exp"] - claims["iat"] == 7


async def test_members_that_oauth_allows_besides_change_nothing(anonymous, make):
    client = await new_client(make)

    answer = await anonymous.post(TOKEN, data=fields(client, scope="sessions:read", audience="x"))

    assert answer.status_code == 200
    assert claims_of(answer.json()["access_token"])["scopes"] == ["sessions:read"]


def assert_oauth_refusal(answer, status, code):
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    assert answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("sends", ["data", "json"])
async def test_a_wrong_secret_and_an_unknown_client_are_invalid_client_alike(
    anonymous, make, sends
):
    client = await new_client(make)
    other = await new_client(make)

    answers = [
        await anonymous.post(TOKEN, **{sends: fields(client, **changed)})
        for changed in (
            {"client_secret": "m2ms_" + "0" * 64},
            {"client_secret": client["clientSecret"] + "0"},
            {"client_secret": client["clientSecret"].upper()},
            {"client_secret": other["clientSecret"]},
            {"client_id": "m2m_" + "0" * 32},
        )
    ]

    for answer in answers:
        assert_oauth_refusal(answer, 401, "invalid_client")
    assert len({answer.text for answer in answers}) == 1


async def test_a_revoked_client_is_invalid_client(anonymous, make):
    client = await new_client(make)
    await make.org.delete(f"{CLIENTS}/{client['clientId']}")

    assert_oauth_refusal(await anonymous.post(TOKEN, data=fields(client)), 401, "invalid_client")


@pytest.mark.parametrize(
    "client_id",
    [
        "m2m_' or '1'='1",
        "a b&c=d",
        "ключ",
        "m2m_%00",
        "../m2m",
        "x" * 200,
        "😀",
        "{{7*7}}",
        "a:b",
    ],
)
async def test_an_odd_client_id_is_only_an_unknown_one(anonymous, client_id):
    wrong = {"grant_type": GRANT, "client_id": client_id, "client_secret": "m2ms_x"}

    answers = [
        await anonymous.post(TOKEN, data=wrong),
        await anonymous.post(TOKEN, json=wrong),
        await anonymous.post(
            TOKEN, data={"grant_type": GRANT}, headers=basic(quote(client_id), "m2ms_x")
        ),
        await anonymous.post(TOKEN, data={"grant_type": GRANT}, headers=basic(client_id, "m2ms_x")),
    ]

    for answer in answers:
        assert_oauth_refusal(answer, 401, "invalid_client")


@pytest.mark.parametrize(
    "header",
    [
        basic(b"m2m_\x00:m2ms_x", None),
        basic(b"\xff\xfe:m2ms_x", None),
        basic(b"no colon at all", None),
        basic(b":", None),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + "A" * 5000},
    ],
)
async def test_a_basic_header_that_names_nobody_is_refused_by_oauths_words(anonymous, header):
    answer = await anonymous.post(TOKEN, data={"grant_type": GRANT}, headers=header)

    assert answer.status_code in {400, 401}, answer.text
    assert answer.json()["error"] in {"invalid_request", "invalid_client"}


async def test_a_bad_basic_header_is_not_saved_by_a_good_body(anonymous, make):
    client = await new_client(make)

    answer = await anonymous.post(
        TOKEN, data=fields(client), headers=basic(client["clientId"], "m2ms_wrong")
    )

    assert answer.status_code in {400, 401}


@pytest.mark.parametrize("sends", ["data", "json"])
@pytest.mark.parametrize("grant", ["password", "authorization_code", "Client_Credentials", "x"])
async def test_another_grant_is_not_supported(anonymous, make, grant, sends):
    client = await new_client(make)

    answer = await anonymous.post(TOKEN, **{sends: fields(client, grant_type=grant)})

    assert_oauth_refusal(answer, 400, "unsupported_grant_type")


@pytest.mark.parametrize("sends", ["data", "json"])
@pytest.mark.parametrize("missing", ["grant_type", "client_id"])
async def test_a_missing_field_is_an_invalid_request(anonymous, make, missing, sends):
    given = fields(await new_client(make))
    del given[missing]

    answer = await anonymous.post(TOKEN, **{sends: given})

    assert_oauth_refusal(answer, 400, "invalid_request")


@pytest.mark.parametrize("sends", ["data", "json"])
async def test_a_missing_secret_is_refused(anonymous, make, sends):
    given = fields(await new_client(make))
    del given["client_secret"]

    answer = await anonymous.post(TOKEN, **{sends: given})

    assert (answer.status_code, answer.json()["error"]) in {
        (400, "invalid_request"),
        (401, "invalid_client"),
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"grant_type": 7}', "application/json"),
        (b'{"grant_type": "client_credentials", "client_id": {}}', "application/json"),
        (b"", "application/json"),
        (b"", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"grant_type=client_credentials&grant_type=x", "application/x-www-form-urlencoded"),
        (
            b"grant_type=client_credentials&client_id=" + b"x" * 201,
            "application/x-www-form-urlencoded",
        ),
    ],
)
async def test_an_unreadable_body_is_an_invalid_request(anonymous, body, content_type):
    answer = await anonymous.post(TOKEN, content=body, headers={"Content-Type": content_type})

    assert_oauth_refusal(answer, 400, "invalid_request")


async def test_a_form_with_escapes_reaches_the_client_it_names(anonymous, make):
    client = await new_client(make)
    body = urlencode(fields(client)).replace("m2m_", "m2m%5F", 1)

    answer = await anonymous.post(
        TOKEN, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert answer.status_code == 200


async def test_another_content_type_is_415(anonymous):
    answer = await anonymous.post(TOKEN, content="x", headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415


# --- what a token opens --------------------------------------------------------------------------


async def test_a_token_works_where_a_key_does_by_its_scopes(make):
    await make.session()
    reader = make.client(await token_of(make, await new_client(make, "sessions:read")))
    manager = make.client(
        await token_of(make, await new_client(make, "projects:write", "org_keys:write"))
    )

    listed = await reader.get("/api/public/sessions")
    project = {"name": "Billing", "slug": "billing"}
    beyond = await reader.post(f"/api/org/{make.org_id}/projects", json=project)
    made = await manager.post(f"/api/org/{make.org_id}/projects", json=project)
    key = await manager.post(
        f"/api/org/{make.org_id}/keys", json={"name": "w", "projects": [make.project_id]}
    )
    blind = await manager.get("/api/public/sessions")

    assert listed.json()["count"] == 1
    assert (beyond.status_code, blind.status_code) == (403, 403)
    assert made.status_code == key.status_code == 201


async def test_a_token_of_star_does_not_reach_the_system_or_another_organization(make):
    star = make.client(await token_of(make, await new_client(make, "*")))
    other_org = await make.organization()

    answers = [
        await star.get("/api/admin/organizations"),
        await star.get(f"/api/org/{other_org}/settings"),
        await star.get(f"/api/org/{make.org_id}/settings"),
    ]

    assert [answer.status_code for answer in answers] == [403, 404, 200]


async def test_a_token_opens_no_worker_route_and_no_browser_session(make):
    star = make.client(await token_of(make, await new_client(make, "*")))
    worker = await make.worker()

    answers = [
        await star.get(f"/api/workers/{worker.id}/poll"),
        await star.post("/api/workers/register", json={"hostname": "forge-01"}),
        await star.post("/api/auth/session"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


async def test_revoking_a_client_ends_its_tokens_at_once(make):
    client = await new_client(make)
    token = await token_of(make, client)
    before = await make.client(token).get("/api/public/sessions")

    await make.org.delete(f"{CLIENTS}/{client['clientId']}")
    after = await make.client(token).get("/api/public/sessions")

    assert (before.status_code, after.status_code) == (200, 401)
    assert after.json() == {"error": "The M2M client was revoked"}


async def test_a_token_is_authority_and_its_issue_is_in_the_audit_log(make, anonymous, audit_log):
    client = await new_client(make, "sessions:read")
    credentials = {"client_id": client["clientId"], "grant_type": "client_credentials"}

    for secret in ("m2ms_" + "0" * 64, client["clientSecret"]):
        await anonymous.post("/api/oauth/token", json={**credentials, "client_secret": secret})

    issued = ("m2m_client.token_issued", client["clientId"])
    assert await audit_log() == [("m2m_client.created", client["clientId"]), issued]


# --- createM2MClient, listM2MClients, revokeM2MClient --------------------------------------------


async def test_a_client_is_made_with_a_secret_that_is_kept_nowhere(make, owner, audit_log):
    client = await new_client(make, "sessions:read", "sessions:read", "agents:write")

    found = await owner.execute("select m::text as all from m2m_clients m")
    table = "\n".join(row.all for row in await found.fetchall())
    found = await owner.execute(
        "select payload::text as text from happened where org_id = %s", (make.org_id,)
    )
    audit = "\n".join(row.text for row in await found.fetchall())
    assert client["clientId"].startswith("m2m_")
    assert len(client["clientId"]) == 36
    assert client["clientSecret"].startswith("m2ms_")
    assert (client["orgId"], client["name"]) == (make.org_id, "reporting")
    assert client["scopes"] == ["sessions:read", "agents:write"]
    assert abs(client["createdAt"] / 1000 - time.time()) < 60
    assert client["clientId"] in table
    assert client["clientSecret"][5:] not in table + audit
    assert await audit_log() == [("m2m_client.created", client["clientId"])]


async def test_nobody_gives_a_client_a_scope_that_they_lack(make):
    keeper = make.client(await make.key(scopes=["org_keys:write", "sessions:read"]))

    answers = [
        await keeper.post(CLIENTS, json={"name": "x", "scopes": scopes})
        for scopes in (["*"], ["org:write"], ["sessions:read", "agents:read"], ["sessions:read"])
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 201]
    assert answers[0].json() == {"error": "The credential lacks what it would give: *"}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"scopes": ["*"]},
        {"name": "", "scopes": ["*"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["system"]},
        {"name": "x", "scopes": ["worker:poll"]},
    ],
)
async def test_a_client_needs_a_name_and_scopes_that_clients_have(make, body):
    assert (await make.org.post(CLIENTS, json=body)).status_code == 400


async def test_clients_are_listed_newest_first_without_secrets(make, owner):
    made = [await new_client(make) for _ in range(3)]
    ids = [client["clientId"] for client in made]
    await make.org.delete(f"{CLIENTS}/{ids[1]}")
    await owner.execute("update m2m_clients set created_at=now() where id=any(%s)", [ids[:2]])

    first = await make.org.get(CLIENTS, params={"limit": 2})
    rest = await make.org.get(CLIENTS, params={"limit": 2, "cursor": first.json()["nextCursor"]})

    shown = first.json()["clients"] + rest.json()["clients"]
    assert [each["clientId"] for each in shown] == [*sorted(ids[:2], reverse=True), ids[2]]
    assert rest.json()["nextCursor"] is None
    assert {each["clientId"] for each in shown if each["revokedAt"]} == {ids[1]}
    assert "clientSecret" not in first.text


async def test_another_organization_neither_sees_nor_ends_a_client(make):
    client = await new_client(make)
    stranger = make.client(await make.key(await make.organization()))

    listed = await stranger.get(CLIENTS)
    ended = await stranger.delete(f"{CLIENTS}/{client['clientId']}")

    assert listed.json() == {"clients": [], "nextCursor": None}
    assert (ended.status_code, ended.json()) == (404, {"error": "Client not found"})
    assert await token_of(make, client)


async def test_revoking_a_client_again_changes_nothing_and_is_audited_once(make, audit_log):
    client = await new_client(make)

    answers = [await make.org.delete(f"{CLIENTS}/{client['clientId']}") for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert answers[0].status_code == answers[1].status_code == 200
    assert len(await audit_log(of="m2m_client.revoked")) == 1


async def test_clients_are_managed_with_an_org_wide_credential_only(make):
    project_key = make.client(
        await make.key(projects=[make.project_id], scopes=["sessions:read", "projects:write"])
    )

    answers = [
        await caller.get(CLIENTS) for caller in (project_key, make.system, make.client("rsk_x"))
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 401]
