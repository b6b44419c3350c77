"""The parts put together: what stops a start, what serves, and what comes back after an outage."""

import contextlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest

import app
import contract
import handlers.identity
import settings
from auth import keyring
from domain.errors import NotFound
from domain.ids import fingerprint
from settings import Secret, Settings, SettingsError
from tests.browser.live_server import environment, live_server
from tests.client import BASE_URL
from tests.conftest import SYSTEM_KEY


@pytest.fixture(autouse=True)
def process(monkeypatch):
    """What creating an application sets for the whole process is put back."""
    monkeypatch.setattr(settings, "_current", settings._current)
    monkeypatch.setattr(keyring, "_keyring", keyring._keyring)


# --- the start -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "name"),
    [("master_key", "RENSEI_MASTER_KEY"), ("web_database_url", "RENSEI_WEB_DATABASE_URL")],
)
def test_without_what_it_needs_the_start_says_what_to_set(given, missing, name):
    with pytest.raises(SettingsError, match=f"{name} is missing"):
        app.create_app(replace(given, **{missing: None}))


def test_a_malformed_setting_in_the_environment_stops_the_start(monkeypatch):
    monkeypatch.setenv("RENSEI_MASTER_KEY", "not hex")

    with pytest.raises(SettingsError, match="RENSEI_MASTER_KEY must be 64 lowercase hex digits"):
        app.create_app()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("openapi: [3.0.3", "contract.yaml"),
        ("openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths: {}", "3.0"),
        ("[]", "contract"),
    ],
)
def test_a_contract_that_cannot_be_read_stops_the_start(given, monkeypatch, tmp_path, text, reason):
    broken = tmp_path / "contract.yaml"
    broken.write_text(text)
    monkeypatch.setattr(app, "CONTRACT", broken)

    with pytest.raises(contract.ContractError, match=f"(?i){reason}"):
        app.create_app(given)


def test_an_operation_without_a_handler_stops_the_start_and_is_named(given, monkeypatch):
    found = app.find_handlers()
    del found["whoami"]
    monkeypatch.setattr(app, "find_handlers", lambda: found)

    with pytest.raises(contract.ContractError, match="whoami"):
        app.create_app(given)


def test_an_operation_without_a_scope_stops_the_start_and_is_named(given, monkeypatch):
    rules = {name: rule for name, rule in app.RULES.items() if name != "whoami"}
    monkeypatch.setattr(app, "RULES", rules)

    with pytest.raises((contract.ContractError, LookupError), match="whoami"):
        app.create_app(given)


def test_two_handlers_of_one_name_stop_the_start(monkeypatch):
    async def get_health():
        return {}, 200

    get_health.__module__ = "handlers.identity"
    monkeypatch.setattr(handlers.identity, "get_health", get_health, raising=False)

    with pytest.raises(contract.ContractError, match="get_health: two handlers"):
        app.find_handlers()


def test_every_public_coroutine_of_the_handlers_is_found_by_its_name():
    found = app.find_handlers()

    assert "whoami" in found
    assert all(not name.startswith("_") for name in found)
    assert {function.__module__.partition(".")[0] for function in found.values()} == {"handlers"}


# --- side by side --------------------------------------------------------------------------------


async def test_pages_and_api_are_served_side_by_side(anonymous):
    root = await anonymous.get("/")
    page = await anonymous.get("/docs/api/reference", headers={"Accept": "text/html"})
    style = await anonymous.get("/docs/static/reference.css")
    list_of_twins = await anonymous.get("/llms.txt")
    health = await anonymous.get("/api/health")

    assert (root.status_code, root.headers["location"]) == (302, "/docs/api/reference")
    assert page.headers["content-type"].startswith("text/html")
    assert style.headers["content-type"].startswith("text/css")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert list_of_twins.text.startswith("# Rensei API\n\n> ")
    assert health.json()["status"] == "ok"


async def test_an_unknown_page_is_the_pages_own_404(anonymous):
    html = await anonymous.get("/docs/nowhere", headers={"Accept": "text/html"})
    program = await anonymous.get("/docs/nowhere", headers={"Accept": "application/json"})

    assert (html.status_code, program.status_code) == (404, 404)
    assert html.headers["content-type"].startswith("text/html")
    assert program.json()["error"].endswith("/docs/api/reference")


async def test_pages_never_escape_their_folder(anonymous):
    paths = ["%2e%2e/%2e%2e/app.py", "..%2f..%2fsettings.py", "%2fetc/passwd", "x%00"]

    answers = [
        await anonymous.get(f"{BASE_URL}/docs/static/{path}", follow_redirects=True)
        for path in paths
    ]

    assert {answer.status_code for answer in answers} <= {400, 404}


# --- the deployment-wide key ---------------------------------------------------------------------


async def test_the_deployment_key_is_put_changed_and_ended_by_the_settings(
    make, given, monkeypatch
):
    def told(secret):
        return replace(
            given,
            worker_api_key=Secret(secret) if secret else None,
            worker_api_key_project=make.project_id,
        )

    async def register(key):
        return await make.client(key).post("/api/workers/register", json={"hostname": "forge-01"})

    first, second = f"deployment-key-{make.slug}", f"another-key-{make.slug}"
    before = await register(first)
    await app._put_deployment_key(told(first))
    registered = await register(first)
    worker_id = registered.json()["workerId"]
    beat = f"/api/workers/{worker_id}/heartbeat"
    alive = await make.client(first).post(beat, json={"activeCount": 0})
    await app._put_deployment_key(told(second))
    changed = [await register(first), await register(second)]
    dead = await make.client(first).post(beat, json={"activeCount": 0})
    await app._put_deployment_key(told(None))
    ended = await register(second)

    assert (before.status_code, registered.status_code, alive.status_code) == (401, 201, 200)
    assert registered.json()["runtimeToken"] is None
    assert [answer.status_code for answer in changed] == [401, 201]
    assert (dead.status_code, ended.status_code) == (401, 401)


async def test_a_deployment_key_that_comes_or_goes_is_in_the_audit_log(make, given, audit_log):
    told = replace(
        given,
        worker_api_key=Secret(f"deployment-key-{make.slug}"),
        worker_api_key_project=make.project_id,
    )

    await app._put_deployment_key(told)
    await app._put_deployment_key(told)
    await app._put_deployment_key(replace(told, worker_api_key=None))

    (minted, key), *rest = await audit_log()
    assert minted == "api_key.minted"
    assert rest == [("api_key.revoked", key)]


async def test_a_deployment_key_of_an_unknown_project_stops_the_start(given):
    told = replace(given, worker_api_key=Secret("x" * 16), worker_api_key_project="proj_of_nobody")

    with pytest.raises(NotFound, match="WORKER_API_KEY_PROJECT names no project: proj_of_nobody"):
        await app._put_deployment_key(told)


async def test_the_deployment_key_is_kept_as_a_hash_only(make, given, owner):
    key = f"deployment-key-{make.slug}"
    told = replace(given, worker_api_key=Secret(key), worker_api_key_project=make.project_id)

    await app._put_deployment_key(told)

    rows = await owner.execute(
        "select key_hash, k::text as all from api_keys k where is_deployment_key and org_id=%s",
        [make.org_id],
    )
    row = await rows.fetchone()
    await app._put_deployment_key(replace(told, worker_api_key=None))
    assert bytes(row.key_hash) == fingerprint(key)
    assert key not in row.all


# --- an outage, from outside ---------------------------------------------------------------------


@pytest.fixture
def cut_off(stores, tmp_path):
    """Settings of a server whose database appears at `plug()` and goes at `pull()`."""
    with psycopg.connect(stores.web_url) as db:
        real = Path(db.info.host) / f".s.PGSQL.{db.info.port}"
        user, password, name = db.info.user, db.info.password, db.info.dbname
    # A socket's path may have about 100 characters, so it lies near the root.
    with tempfile.TemporaryDirectory(prefix="rs") as folder:
        plug = Path(folder) / real.name
        url = f"postgresql://{user}:{password}@/{name}?host={quote(folder)}"
        yield (
            environment(stores, SYSTEM_KEY) | {"RENSEI_WEB_DATABASE_URL": url},
            lambda: plug.symlink_to(real),
        )


def test_a_server_that_starts_without_its_database_answers_503_and_then_recovers(cut_off, tmp_path):
    told, plug = cut_off
    with live_server(told, tmp_path) as server, httpx.Client(base_url=server.url) as client:
        headers = {"Authorization": f"Bearer rsk_live_{'0' * 64}"}
        health = client.get("/api/health", timeout=10)
        call = client.get("/api/cli/whoami", headers=headers, timeout=10)
        page = client.get("/docs/api/reference")
        unknown = client.get("/api/nowhere")

        plug()
        began = time.monotonic()
        statuses = []
        while 200 not in statuses and time.monotonic() < began + 20:
            with contextlib.suppress(httpx.TimeoutException):
                statuses.append(client.get("/api/health", timeout=5).status_code)
            time.sleep(0.1)
        after = client.get("/api/cli/whoami", headers=headers, timeout=10)

        assert health.status_code == call.status_code == 503
        assert int(health.headers["retry-after"]) > 0
        assert call.json() == {"error": "The database cannot be reached; try again"}
        assert (page.status_code, unknown.status_code) == (200, 404)
        assert statuses[-1] == 200
        assert after.status_code == 401
        assert "Traceback" not in server.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"RENSEI_MASTER_KEY": ""}, "RENSEI_MASTER_KEY is missing"),
        ({"RENSEI_MASTER_KEY": "short"}, "RENSEI_MASTER_KEY must be"),
        ({"WORKER_API_KEY": "x" * 16}, "WORKER_API_KEY_PROJECT"),
    ],
)
def test_a_process_that_cannot_start_ends_with_the_reason(stores, tmp_path, changed, reason):
    told = environment(stores, SYSTEM_KEY) | changed

    with pytest.raises(AssertionError, match=reason), live_server(told, tmp_path):
        pass


def test_settings_of_an_empty_environment_are_the_defaults():
    assert Settings.from_environment({}) == Settings()
