"""Who a credential speaks for, the browser's cookie, and refused credentials."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest
from redis.asyncio import Redis

import settings
from domain.errors import Unavailable
from persistence import database, refusals
from persistence.ephemeral import store
from tests.client import BASE_URL, judge

SESSION = "/api/auth/session"
WHOAMI = "/api/cli/whoami"
OWN = {"Origin": BASE_URL}


async def cookie_of(make, key):
    """A browser that holds the cookie of this key, and the answer that set it."""
    answer = await make.client(key).post(SESSION)
    assert answer.status_code == 201, answer.text
    value = answer.cookies["wos-session"]
    return make.client(headers={"Cookie": f"wos-session={value}"}), answer


# --- whoami --------------------------------------------------------------------------------------


async def test_a_key_learns_its_organization_projects_and_scopes(make):
    second = await make.project()

    said = (await make.org.get(WHOAMI)).json()

    assert said["org"] == {
        "id": make.org_id,
        "name": "Test",
        "slug": make.slug,
        "plan": "self-hosted",
    }
    assert [p["id"] for p in said["projects"]] == [make.project_id, second]
    assert [p["isDefault"] for p in said["projects"]] == [True, False]
    assert said["scopes"] == ["*"]


async def test_a_project_key_learns_of_its_own_projects_only(make):
    await make.project()

    said = (await make.client(make.worker_key).get(WHOAMI)).json()

    assert [p["id"] for p in said["projects"]] == [make.project_id]
    assert said["scopes"] == sorted(said["scopes"])
    assert len(said["scopes"]) == 4


async def test_an_organization_without_projects_is_shown_without_projects(make):
    alone = make.client(await make.key(await make.organization()))

    assert (await alone.get(WHOAMI)).json()["projects"] == []


async def test_the_organization_header_may_name_ones_own_by_id_or_slug(make):
    other_org = await make.organization()
    other_slug = make._slug

    answers = [
        await make.org.get(WHOAMI, headers={"X-Rensei-Org": named})
        for named in (make.org_id, make.slug, "", other_org, other_slug, "nowhere")
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 404, 404]


async def test_worker_tokens_and_the_system_key_are_no_organizations_credential(make):
    worker = await make.worker()

    answers = [await caller.get(WHOAMI) for caller in (worker.client, make.system)]

    assert [answer.status_code for answer in answers] == [403, 403]


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer rsk_live_" + "0" * 64,
        "Bearer ",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "rsk_live_" + "0" * 64,
        "",
        "Bearer a.b.c",
        "Bearer é",
        "Bearer " + "x" * 10_000,
        "Bearer \x01",
    ],
)
async def test_a_bad_credential_is_refused_with_the_scheme_to_use(anonymous, authorization):
    header = authorization.encode("latin-1")

    answer = await anonymous.get(WHOAMI, headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_scheme_may_be_written_in_any_case(make):
    answer = await make.client().get(WHOAMI, headers={"Authorization": f"bEARER  {make.org_key}"})

    assert answer.status_code == 200


# --- the browser session -------------------------------------------------------------------------


async def test_a_key_is_exchanged_for_a_strict_cookie(make, audit_log):
    browser, answer = await cookie_of(make, make.org_key)

    value, *attributes = answer.headers["set-cookie"].split("; ")
    assert answer.json()["orgId"] == make.org_id
    assert value.startswith("wos-session=")
    assert len(value) > 40
    assert set(attributes) == {"Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Strict"}
    assert answer.headers["cache-control"] == "no-store"
    assert (await browser.get(WHOAMI)).json()["org"]["id"] == make.org_id
    assert [event for event, _ in await audit_log()] == ["browser_session.opened"]


async def test_the_cookie_is_secure_when_the_public_address_is_https(make, given, monkeypatch):
    monkeypatch.setattr(settings, "_current", replace(given, public_url="https://rensei.example"))

    browser, answer = await cookie_of(make, make.org_key)
    ended = await browser.delete(SESSION, headers={"Origin": "https://rensei.example"})

    assert "Secure" in answer.headers["set-cookie"].split("; ")
    assert "Secure" in ended.headers["set-cookie"].split("; ")


async def test_a_session_lasts_twelve_hours(make):
    _, answer = await cookie_of(make, make.org_key)

    expires_at = datetime.fromisoformat(answer.json()["expiresAt"])
    lasts = expires_at - datetime.now(expires_at.tzinfo)
    assert timedelta(hours=11, minutes=59) < lasts <= timedelta(hours=12)


async def test_a_session_never_outlives_its_key(make):
    soon = (datetime.now().astimezone() + timedelta(minutes=5)).isoformat(timespec="milliseconds")
    key = await make.key_answer(expiresAt=soon)

    _, answer = await cookie_of(make, key["fullKey"])

    assert answer.json()["expiresAt"] == key["expiresAt"]
    lifetime = int(answer.headers["set-cookie"].split("Max-Age=")[1].split(";")[0])
    assert lifetime <= 300


async def test_an_ended_or_expired_session_is_refused(make, owner):
    browser, _ = await cookie_of(make, make.org_key)
    late, _ = await cookie_of(make, make.org_key)
    await owner.execute(
        "update browser_sessions set expires_at=now() where org_id=%s"
        " and created_at=(select max(created_at) from browser_sessions where org_id=%s)",
        [make.org_id] * 2,
    )

    ended = await browser.delete(SESSION, headers=OWN)
    answers = [await each.get(WHOAMI) for each in (browser, late)]

    assert (ended.status_code, ended.json()) == (200, {"ended": True})
    assert ended.headers["set-cookie"].startswith("wos-session=; Max-Age=0; Path=/;")
    assert [answer.status_code for answer in answers] == [401, 401]


async def test_the_cookie_is_kept_as_a_hash_only(make, owner):
    _, answer = await cookie_of(make, make.org_key)

    found = await owner.execute("select b::text as all from browser_sessions b")
    table = "\n".join(row.all for row in await found.fetchall())
    assert answer.cookies["wos-session"] not in table
    assert answer.cookies["wos-session"].encode().hex() not in table


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://127.0.0.1:8081",
        "https://127.0.0.1:8080",
        "http://127.0.0.1",
        "http://localhost:8080",
        "http://127.0.0.1:8080.evil.example",
        "http://evil.example/http://127.0.0.1:8080",
        "http://[",
        "127.0.0.1:8080",
    ],
)
async def test_a_change_by_cookie_needs_the_servers_own_origin(make, origin):
    browser, _ = await cookie_of(make, make.org_key)
    headers = {} if origin is None else {"Origin": origin}

    answers = [
        await browser.post(
            f"/api/org/{make.org_id}/projects", json={"name": "x", "slug": "x"}, headers=headers
        ),
        await browser.patch(
            f"/api/org/{make.org_id}/settings", json={"name": "x"}, headers=headers
        ),
        await browser.delete(SESSION, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert "http://127.0.0.1:8080" in answers[0].json()["error"]
    assert (await browser.get(WHOAMI)).status_code == 200


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://rensei.example", "https://rensei.example"),
        ("https://rensei.example/", "https://rensei.example"),
        ("https://rensei.example/control", "https://rensei.example"),
        ("https://rensei.example:8443", "https://rensei.example:8443"),
        ("https://Rensei.Example", "https://rensei.example"),
        ("https://rensei.example:443", "https://rensei.example"),
    ],
)
async def test_the_origin_is_compared_as_browsers_write_it(
    make, given, monkeypatch, public_url, origin
):
    environment = {"RENSEI_PUBLIC_URL": public_url}
    written = settings.Settings.from_environment(environment).public_url
    browser, _ = await cookie_of(make, make.org_key)
    monkeypatch.setattr(settings, "_current", replace(given, public_url=written))

    answer = await browser.patch(
        f"/api/org/{make.org_id}/settings", json={"maxAttempts": 3}, headers={"Origin": origin}
    )

    assert answer.status_code == 200


async def test_a_cookie_may_do_what_its_key_may_with_the_right_origin(make):
    browser, _ = await cookie_of(make, make.org_key)

    answer = await browser.post(
        f"/api/org/{make.org_id}/projects", json={"name": "x", "slug": "x"}, headers=OWN
    )

    assert answer.status_code == 201


async def test_a_project_keys_cookie_is_no_wider_than_the_key(make):
    other = await make.project()
    await make.session()
    await make.session(other)
    everything = ["sessions:read", "projects:read", "projects:write", "org:read", "org:write"]
    key = await make.key(
        projects=[make.project_id], scopes=[*everything, "workspaces:read", "workspaces:write"]
    )
    mapping = await make.system.post(
        f"/api/org/{make.org_id}/workspaces",
        json={"provider": "linear", "workspaceId": make.slug, "projectId": other},
    )
    calls = [
        ("GET", "/api/public/sessions", None),
        ("GET", f"/api/org/{make.org_id}/projects", None),
        ("GET", f"/api/org/{make.org_id}/settings", None),
        ("PATCH", f"/api/org/{make.org_id}/settings", {"maxAttempts": 9}),
        (
            "PATCH",
            f"/api/org/{make.org_id}/settings",
            {"webhookSecrets": {"linear": "a secret of sixteen"}},
        ),
        ("POST", f"/api/org/{make.org_id}/projects", {"name": "x", "slug": "x"}),
        (
            "DELETE",
            f"/api/org/{make.org_id}/workspaces/{mapping.json()['mapping']['id']}",
            None,
        ),
    ]
    browser, _ = await cookie_of(make, key)

    for method, path, body in calls:
        by_key = await make.client(key).request(method, path, json=body)
        by_cookie = await browser.request(method, path, json=body, headers=OWN)
        assert by_cookie.status_code == by_key.status_code, (method, path, by_cookie.text)
        if by_key.status_code == 200:
            assert {k: v for k, v in by_cookie.json().items() if k != "timestamp"} == {
                k: v for k, v in by_key.json().items() if k != "timestamp"
            }


async def test_only_api_keys_open_a_browser_session(make):
    browser, _ = await cookie_of(make, make.org_key)
    worker = await make.worker()

    answers = [
        await make.client().post(SESSION),
        await browser.post(SESSION, headers=OWN),
        await worker.client.post(SESSION),
        await make.system.post(SESSION),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 403, 403]


async def test_only_a_cookie_ends_a_browser_session(make):
    answer = await make.org.delete(SESSION)

    assert answer.status_code == 401


async def test_a_bad_credential_is_not_saved_by_a_good_one_beside_it(make):
    browser, _ = await cookie_of(make, make.org_key)
    bad_bearer = {"Authorization": "Bearer rsk_live_" + "0" * 64}

    by_bearer = await browser.get(WHOAMI, headers=bad_bearer)
    by_cookie = await make.org.get(WHOAMI, headers={"Cookie": "wos-session=unknown"})

    assert (by_bearer.status_code, by_cookie.status_code) == (401, 401)


@pytest.mark.parametrize(
    "value", ["", "unknown", "%00", '"', "é".encode("latin-1").decode("latin-1")]
)
async def test_an_unknown_cookie_is_refused(anonymous, value):
    header = f"wos-session={value}".encode("latin-1")

    answer = await anonymous.get(WHOAMI, headers={"Cookie": header})

    assert answer.status_code == 401


# --- how often one may fail ----------------------------------------------------------------------


@pytest.fixture
async def limited(application, given, monkeypatch, make):
    """Callers by address, told to wait after three failures a minute; 10.0.0.0/8 is trusted."""
    limits = {
        "RENSEI_FAILURES_PER_MINUTE": "3",
        "RENSEI_TRUSTED_PROXIES": "10.0.0.0/8",
    }
    chosen = settings.Settings.from_environment(limits)
    monkeypatch.setattr(
        settings,
        "_current",
        replace(
            given,
            failures_per_minute=chosen.failures_per_minute,
            trusted_proxies=chosen.trusted_proxies,
        ),
    )
    clients = []

    def at(address):
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(
                application, raise_app_exceptions=False, client=(address, 4711)
            ),
            base_url=BASE_URL,
            event_hooks={"response": [judge]},
        )
        clients.append(client)
        return client

    await store.current().flushdb()
    yield at
    for client in clients:
        await client.aclose()


async def fail(client, times, **headers):
    bad = {"Authorization": "Bearer rsk_live_" + "0" * 64, **headers}
    return [(await client.get(WHOAMI, headers=bad)).status_code for _ in range(times)]


async def test_an_address_that_keeps_failing_is_told_to_wait(limited):
    stranger = limited("198.51.100.1")

    statuses = await fail(stranger, 5)
    last = await stranger.get(WHOAMI)

    assert statuses == [401, 401, 401, 429, 429]
    assert last.json() == {"error": "Too many requests"}
    assert 0 < int(last.headers["retry-after"]) <= 60


async def test_good_credentials_are_never_limited_and_other_addresses_not_at_all(limited, make):
    stranger = limited("198.51.100.2")
    await fail(stranger, 5)

    good = await stranger.get(WHOAMI, headers={"Authorization": f"Bearer {make.org_key}"})
    elsewhere = await fail(limited("198.51.100.3"), 1)

    assert good.status_code == 200
    assert elsewhere == [401]


async def test_failure_7_a_fleet_behind_one_address_is_never_told_to_wait(limited, make):
    """clients.md 7: all workers shared 60 calls a minute; any `X-Forwarded-For` was believed.

    It fails when every call is counted by its address, not refused ones alone.
    """
    address = "198.51.100.7"
    stranger = limited("203.0.113.9")
    forged = await fail(stranger, 5, **{"X-Forwarded-For": address})
    for _ in range(20):
        await make.session()
    statuses = []

    async def work_off_one():
        client = limited(address)
        client.headers["X-Forwarded-For"] = address

        async def call(method, path, **body):
            answer = await client.request(method, path, **({"json": body} if body else {}))
            statuses.append(answer.status_code)
            return answer.json()

        client.headers["Authorization"] = f"Bearer {make.worker_key}"
        said = await call("POST", "/api/workers/register", hostname="forge", capacity=1)
        worker_id = said["workerId"]
        client.headers["Authorization"] = f"Bearer {said['runtimeToken']}"
        (session_id,) = (await call("GET", f"/api/workers/{worker_id}/poll"))["claimedSessionIds"]
        path = f"/api/sessions/{session_id}"
        await call("POST", f"{path}/status", workerId=worker_id, status="running")
        for number in range(5):
            activity = {"type": "thought", "content": f"{number}"}
            await call("POST", f"{path}/activity", workerId=worker_id, activity=activity)
        await call("POST", f"{path}/completion", summary="done")
        done = await call("POST", f"{path}/status", workerId=worker_id, status="completed")
        return done["session"]["status"]

    ended = await asyncio.gather(*(work_off_one() for _ in range(20)))
    first_failure = await fail(limited(address), 1)

    assert ended == ["completed"] * 20
    assert len(statuses) == 200
    assert set(statuses) == {200, 201}
    # The forger was counted under its own address, and nobody under the one it named.
    assert forged == [401, 401, 401, 429, 429]
    assert first_failure == [401]


async def test_every_kind_of_failed_credential_counts(limited, make):
    stranger = limited("198.51.100.4")
    wrong = {"grant_type": "client_credentials", "client_id": "m2m_x", "client_secret": "x"}
    daemon = {"registrationToken": "rsk_live_x", "hostname": "forge-01", "maxAgents": 1}

    statuses = [
        (await stranger.post("/api/oauth/token", data=wrong)).status_code,
        (await stranger.post("/v1/daemon/register", json=daemon)).status_code,
        (
            await stranger.post(
                "/api/webhooks/ingest/linear", json={}, headers={"Linear-Signature": "0" * 64}
            )
        ).status_code,
        (await stranger.get(WHOAMI, headers={"Cookie": "wos-session=x"})).status_code,
    ]

    assert statuses == [401, 401, 401, 429]


async def test_a_malformed_request_is_no_failed_credential(limited):
    stranger = limited("198.51.100.5")

    statuses = [
        (await stranger.post("/api/oauth/token", data={"grant_type": "x"})).status_code
        for _ in range(5)
    ]

    assert statuses == [400] * 5


async def test_the_address_comes_through_trusted_proxies_only(limited):
    proxy, liar = limited("10.0.0.1"), limited("198.51.100.6")

    through = [
        await fail(proxy, 4, **{"X-Forwarded-For": "203.0.113.1"}),
        await fail(proxy, 1, **{"X-Forwarded-For": "203.0.113.2"}),
        await fail(proxy, 1, **{"X-Forwarded-For": "203.0.113.1, 10.0.0.7"}),
        await fail(proxy, 1, **{"X-Forwarded-For": "203.0.113.3, 203.0.113.1"}),
    ]
    lying = [
        (await fail(liar, 1, **{"X-Forwarded-For": f"203.0.113.{n}"}))[0] for n in range(10, 15)
    ]

    assert through == [[401, 401, 401, 429], [401], [429], [429]]
    assert lying == [401, 401, 401, 429, 429]


async def test_a_proxy_that_adds_a_header_line_of_its_own_is_read_to_the_last_line(limited):
    proxy = limited("10.0.0.1")

    statuses = [
        (
            await proxy.get(
                WHOAMI,
                headers=[
                    ("Authorization", "Bearer rsk_live_x"),
                    ("X-Forwarded-For", f"203.0.113.{n}"),  # the stranger's own claim
                    ("X-Forwarded-For", "198.51.100.7"),  # what the proxy saw
                ],
            )
        ).status_code
        for n in range(5)
    ]

    assert statuses == [401, 401, 401, 429, 429]


async def test_without_redis_nobody_is_limited(limited, monkeypatch, tmp_path):
    away = Redis.from_url(f"unix://{tmp_path}/nowhere.sock")
    monkeypatch.setattr(store, "_redis", away)

    statuses = await fail(limited("198.51.100.8"), 6)

    assert statuses == [401] * 6
    await away.aclose()


async def test_a_count_ends_with_its_minute(limited):
    await fail(limited("198.51.100.9"), 1)

    names = [name async for name in store.current().scan_iter("*198.51.100.9*")]
    assert [0 < await store.current().ttl(name) <= 60 for name in names] == [True]


# --- refusals in the audit log -------------------------------------------------------------------


@pytest.fixture
async def refused(owner, application):
    """How often each (operation, status) was refused since this test began, once it is written."""
    await refusals.write()
    latest = await owner.execute("select clock_timestamp() as now")
    since = (await latest.fetchone()).now

    async def read(*operations, org_id, at_least):
        counted = Counter()
        async with asyncio.timeout(4):
            while counted.total() < at_least:
                await asyncio.sleep(0.05)
                rows = await owner.execute(
                    "select entity_id, payload from happened where occurred_at > %s"
                    " and event_type = 'request.refused' and entity_id = any(%s)"
                    " and org_id = %s",
                    [since, list(operations), org_id or "system"],
                )
                counted = Counter()
                for row in await rows.fetchall():
                    counted[row.entity_id, row.payload["status"]] += row.payload["count"]
        return dict(counted)

    return read


async def test_refusals_are_counted_and_in_the_audit_log_within_seconds(make, refused, owner):
    reader = make.client(await make.key(scopes=["sessions:read"]))
    for _ in range(3):
        await reader.get(f"/api/org/{make.org_id}/settings")
    await reader.delete("/api/admin/m2m-clients/m2m_x")

    found = await refused("getOrgSettings", "revokeM2MClient", org_id=make.org_id, at_least=4)

    rows = await owner.execute(
        "select actor_type from happened where org_id = %s and event_type = 'request.refused'",
        [make.org_id],
    )
    assert found == {("getOrgSettings", 403): 3, ("revokeM2MClient", 403): 1}
    assert {row.actor_type for row in await rows.fetchall()} == {"api_key"}


async def test_refusals_of_nobody_known_go_to_the_systems_chain(anonymous, refused):
    for _ in range(4):
        await anonymous.get("/api/admin/m2m-clients")

    found = await refused("listM2MClients", org_id=None, at_least=4)

    assert found == {("listM2MClients", 401): 4}


async def test_a_refused_client_secret_is_audited(anonymous, refused):
    wrong = {"grant_type": "client_credentials", "client_id": "m2m_x", "client_secret": "x"}
    await anonymous.post("/api/oauth/token", data=wrong)

    found = await refused("issueM2MToken", org_id=None, at_least=1)

    assert found == {("issueM2MToken", 401): 1}


async def test_being_told_to_wait_is_audited_as_what_it_was(limited, refused):
    stranger = limited("198.51.100.10")
    bad = {"Authorization": "Bearer rsk_live_" + "0" * 64}
    for _ in range(5):
        await stranger.post(SESSION, headers=bad)

    found = await refused("createBrowserSession", org_id=None, at_least=5)

    assert found == {("createBrowserSession", 401): 3, ("createBrowserSession", 429): 2}


async def test_no_refusal_keeps_the_credential(make, refused, owner):
    await make.client("rsk_live_" + "7" * 64).get("/api/admin/organizations")
    await make.client().delete(SESSION, headers={"Cookie": "wos-session=somebodys-cookie", **OWN})

    await refused("listOrganizations", "endBrowserSession", org_id=None, at_least=2)

    rows = await owner.execute(
        "select a::text as all from happened a where event_type = 'request.refused'"
    )
    text = "\n".join(row.all for row in await rows.fetchall())
    assert "7" * 20 not in text
    assert "somebodys-cookie" not in text


async def test_a_flood_from_many_addresses_is_bounded_and_every_refusal_is_counted(refused, make):
    floods = [
        refusals.Refused(None, None, "unknown", f"2001:db8::{number}", make.slug, 401)
        for number in range(refusals.MOST_SOURCES + 700)
    ]
    for each in floods:
        refusals.note(each)

    written = await refusals.write()

    found = await refused(make.slug, "any", org_id=None, at_least=len(floods))
    assert written <= refusals.MOST_SOURCES + 1
    assert found[make.slug, 401] <= refusals.MOST_SOURCES


async def test_refusals_wait_for_the_database(make, refused, tmp_path):
    away = database.Database(f"postgresql://nobody@/nowhere?host={tmp_path}")
    refusals.note(refusals.Refused(make.org_id, "key_1", "api_key", "::1", "waited", 403))
    with database.using(away), pytest.raises(Unavailable):
        await refusals.write()

    found = await refused("waited", org_id=make.org_id, at_least=1)

    await away.close()
    assert found == {("waited", 403): 1}
