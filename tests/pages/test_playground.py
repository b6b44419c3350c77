"""The playground's proxy: it calls one operation of this server for its caller, or nothing."""

import json
import re
from html import unescape
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

import settings
from auth.scopes import RULES
from contract import Operation
from handlers.refusals import refuse
from pages import create_pages, playground_form, reference
from pages.playground import MOST_BYTES, create_playground
from tests.client import BASE_URL
from tests.contract.operations import CONTRACT, OPERATIONS
from tests.streams import eventually, watched

PROXY = "/docs/playground"
OWN = {"Origin": BASE_URL, "Sec-Fetch-Site": "same-origin"}
LINE_BREAKS = ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"]


@pytest.fixture
async def page(application):
    """A page of this server, in a browser that has a cookie of its own."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application),
        base_url=BASE_URL,
        headers={**OWN, "Cookie": "wos-session=the-browsers-own"},
    ) as client:
        yield client


class Recorder:
    """Stands where the contract is served: notes what comes through, and answers as it is told."""

    def __init__(self):
        self.requests = []
        self.bodies = []
        self.answer = Response(b"{}", 200, media_type="application/json")

    async def __call__(self, scope, receive, send):
        request = Request(scope, receive)
        self.requests.append(request)
        self.bodies.append(await request.body())
        await self.answer(scope, receive, send)

    @property
    def last(self):
        return self.requests[-1]


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
async def form(given, recorder, monkeypatch):
    """The same page before a server that only notes what it is asked."""
    monkeypatch.setattr(settings, "_current", given)
    proxy = create_playground(CONTRACT, recorder, BASE_URL, refuse)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(proxy),
        base_url=BASE_URL,
        headers={**OWN, "Cookie": "wos-session=the-browsers-own"},
    ) as client:
        yield client


async def call(client, operation_id, **members):
    """Ask for a call; answers what the operation said: status, headers, and the proxy's answer."""
    answer = await client.post(f"{PROXY}/{operation_id}", json=members)
    assert answer.status_code == 200, answer.text
    told = json.loads(answer.headers["Rensei-Answer"])
    return told["status"], dict(told["headers"]), answer


async def refusal(client, operation_id, status=400, **members):
    """Ask for what is not called at all; answers the text of the refusal."""
    answer = await client.post(f"{PROXY}/{operation_id}", json=members)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert "Rensei-Answer" not in answer.headers
    return answer.json()["error"]


def bearer(token, scheme="rsk_Bearer"):
    return {"scheme": scheme, "value": token}


# --- what is called ------------------------------------------------------------------------------


async def test_a_public_operation_is_called_without_anything(page):
    status, headers, answer = await call(page, "getHealth")

    assert status == 200
    assert headers["content-type"] == "application/json"
    assert answer.json()["status"] == "ok"


async def test_the_credential_of_the_form_is_the_callers(page, make):
    status, _, answer = await call(page, "whoami", credential=bearer(make.org_key))

    assert status == 200
    assert answer.json()["org"]["id"] == make.org_id


async def test_a_refusal_of_the_operation_is_shown_and_asks_the_browser_for_nothing(page):
    status, headers, answer = await call(page, "whoami")

    assert status == 401
    assert "www-authenticate" in headers
    assert "www-authenticate" not in answer.headers
    assert "error" in answer.json()


async def test_a_cookie_that_is_set_is_shown_and_not_set(page, make):
    credential = bearer(make.org_key)

    status, headers, answer = await call(page, "createBrowserSession", credential=credential)

    assert status == 201
    assert headers["set-cookie"].startswith("wos-session=")
    assert "set-cookie" not in answer.headers


async def test_an_operation_that_takes_the_cookie_alone_gets_the_one_that_is_typed(page, make):
    browser = await make.browser()
    credential = bearer(browser.headers["Cookie"].partition("=")[2], "cookieAuth")

    status, _, answer = await call(
        page,
        "mintApiKey",
        path={"orgId": make.org_id},
        body='{"name": "from the form", "projects": "all"}',
        contentType="application/json",
        credential=credential,
    )

    assert status == 201, answer.text


async def test_a_stream_passes_as_it_comes_and_ends_with_its_reader(address, make):
    credential = bearer(make.org_key)
    before = watched()
    # It has no end of its own: a proxy that waited for one would answer nothing.
    asked = {"credential": credential}

    async with (
        httpx.AsyncClient(base_url=address, headers={"Origin": BASE_URL}, timeout=10) as client,
        client.stream("POST", f"{PROXY}/streamEvents", json=asked) as answer,
    ):
        told = json.loads(answer.headers["Rensei-Answer"])
        assert told["status"] == 200
        assert dict(told["headers"])["content-type"].startswith("text/event-stream")
        await eventually(lambda: watched() > before)

    await eventually(lambda: watched() == before)


# --- what comes through --------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=[each.id for each in OPERATIONS])
async def test_every_operation_can_be_called_and_is_the_one_that_is_named(
    form, recorder, operation
):
    path = {p["name"]: str(p["example"]) for p in operation.parameters if p["in"] == "path"}

    await call(form, operation.id, path=path)

    assert recorder.last.method == operation.method
    served = next(each for each in OPERATIONS if _fits(each, recorder.last))
    assert served.id == operation.id


def _fits(operation: Operation, request: Request) -> bool:
    ours = operation.path.split("/")
    theirs = request.url.path.split("/")
    literal = [(a, b) for a, b in zip(ours, theirs, strict=False) if not a.startswith("{")]
    return (
        operation.method == request.method
        and len(ours) == len(theirs)
        and all(a == b for a, b in literal)
    )


async def test_nothing_of_the_browser_comes_through(form, recorder):
    await form.post(
        f"{PROXY}/getHealth",
        json={},
        headers={
            "Authorization": "Bearer of-the-browser",
            "Connection": "keep-alive, X-Secret",
            "TE": "trailers",
            "X-Secret": "1",
            "Referer": f"{BASE_URL}/docs",
            "Sec-Fetch-Mode": "cors",
        },
    )

    assert set(recorder.last.headers) == {"host", "origin", "user-agent", "accept"}
    assert recorder.last.headers["host"] == "127.0.0.1:8080"
    assert recorder.last.headers["origin"] == BASE_URL
    assert recorder.last.cookies == {}


async def test_the_cookie_of_the_form_takes_the_place_of_the_browsers(form, recorder):
    await call(form, "whoami", credential=bearer("typed", "cookieAuth"))

    assert recorder.last.cookies == {"wos-session": "typed"}


async def test_the_chain_of_proxies_comes_through_so_that_failures_count_for_the_right_address(
    form, recorder
):
    await form.post(f"{PROXY}/getHealth", json={}, headers={"X-Forwarded-For": "203.0.113.7"})

    assert recorder.last.headers["x-forwarded-for"] == "203.0.113.7"
    assert recorder.last.client.host == "127.0.0.1"


async def test_values_are_escaped_where_they_stand(form, recorder):
    paths = ["a b&c=d", "ü?#"]
    await call(form, "checkFileConflicts", path={"id": "w"}, query={"filePaths": paths})

    assert recorder.last.query_params.getlist("filePaths") == paths
    assert recorder.last.query_params.keys() == {"filePaths"}

    await call(form, "getWorker", path={"id": "../../x?y=1#z/ü"})

    assert recorder.last.scope["raw_path"] == b"/api/workers/..%2F..%2Fx%3Fy%3D1%23z%2F%C3%BC"


async def test_the_body_comes_through_byte_by_byte(form, recorder):
    text = '{"a" :  1.0, "b": "\\u00fc ü"}\n'

    await call(form, "daemonRegister", body=text, contentType="application/json")

    assert recorder.bodies[-1] == text.encode()
    assert recorder.last.headers["content-length"] == str(len(text.encode()))
    assert recorder.last.headers["content-type"] == "application/json"


async def test_a_signature_travels_in_its_providers_header(form, recorder):
    await call(
        form,
        "webhookIngest",
        path={"provider": "linear"},
        body="{}",
        contentType="application/json",
        credential={"scheme": "webhookHmac", "value": "ab12", "header": "Linear-Signature"},
    )

    assert recorder.last.headers["linear-signature"] == "ab12"


async def test_what_acts_on_a_browser_is_told_and_not_done(form, recorder):
    recorder.answer = Response(
        b"<script>1</script>",
        302,
        {
            "Location": "http://169.254.169.254/",
            "Set-Cookie": "wos-session=evil",
            "Content-Type": "text/html",
            "Refresh": "0; url=http://evil.example",
            "Connection": "close",
            "Transfer-Encoding": "chunked",
            "X-Name": "\xff\x85",
        },
    )

    status, headers, answer = await call(form, "getHealth")

    assert status == 302
    assert headers["location"] == "http://169.254.169.254/"
    assert headers["x-name"] == "\xff\x85"
    assert not {"connection", "transfer-encoding"} & headers.keys()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"].startswith("no-store")
    assert not {"location", "set-cookie", "refresh", "x-name"} & answer.headers.keys()


# --- what is not called --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"url": "http://169.254.169.254/latest"},
        {"host": "evil.example"},
        {"method": "DELETE"},
        {"server": "http://[::ffff:7f00:1]/"},
        {"header": {"Host": "evil.example"}},
        {"header": {"X-Forwarded-For": "127.0.0.1"}},
        {"header": {"Origin": "http://evil.example"}},
        {"header": {"Cookie": "wos-session=x"}},
        {"header": {"Content-Length": "0"}},
        {"header": {"Transfer-Encoding": "chunked"}},
        {"query": {"url": "http://evil.example"}},
        {"query": {"X-Rensei-Org": "org"}},
        {"path": {"host": "evil.example"}},
        {"cookie": {"wos-session": "x"}},
    ],
)
async def test_what_the_operation_does_not_have_is_refused_by_name(form, recorder, members):
    text = await refusal(form, "getHealth", **members)

    named = next(iter(members.values()))
    assert (next(iter(named)) if isinstance(named, dict) else next(iter(members))) in text
    assert recorder.requests == []


@pytest.mark.parametrize(
    "name",
    [
        *("nothing", "", "getHealth/", "/getHealth", "../api/health", "%2e%2e", "gethealth"),
        *("http:%2F%2F127.0.0.1", "getHealth%00", "getHealth?url=http://evil.example/x%23"),
    ],
)
async def test_only_an_operation_has_a_name_here(form, recorder, name):
    answer = await form.post(f"{PROXY}/{name}", json={"a": 1})

    assert answer.status_code in {400, 404}
    assert set(answer.json()) == {"error"}
    assert recorder.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_a_call_is_posted(form, recorder, method):
    answer = await form.request(method, f"{PROXY}/getHealth")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert recorder.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "rebound.example"},
    ],
)
async def test_pages_of_other_sites_are_refused(form, recorder, headers):
    answer = await form.post(f"{PROXY}/getHealth", json={}, headers=headers)

    assert answer.status_code == 403
    assert recorder.requests == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
async def test_what_a_foreign_form_can_send_is_refused(form, recorder, kind):
    answer = await form.post(f"{PROXY}/getHealth", content="{}", headers={"Content-Type": kind})

    assert answer.status_code == 415
    assert recorder.requests == []


async def test_a_call_that_is_too_large_is_refused_before_it_is_read(form, recorder):
    answer = await form.post(
        f"{PROXY}/getHealth",
        content=b" " * (MOST_BYTES + 1),
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert recorder.requests == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"1", b"null", b"{", b'"x"', b"\xff"),
        *(b'{"path": []}', b'{"query": {"a": 1}}', b'{"body": {}}', b'{"contentType": 1}'),
        *(b'{"credential": "x"}', b'{"credential": {"scheme": "x"}}', b'{"path": {"id": ["a"]}}'),
        *(b'{"credential": {"scheme": "x", "value": 1}}', b'{"query": {"a": ["b", null]}}'),
        *(b'{"credential": {"scheme": "x", "value": "y", "name": "Host"}}', b"[" * 100_000),
        b'{"body": "\\ud800"}',
    ],
)
async def test_a_call_that_is_none_is_a_clear_400(form, recorder, body):
    answer = await form.post(
        f"{PROXY}/getWorker", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith("body")
    assert recorder.requests == []


@pytest.mark.parametrize("value", LINE_BREAKS)
async def test_no_value_ends_a_header(form, recorder, value):
    credential = bearer("rsk_live_x")

    header = {"X-Rensei-Org": value}
    assert "X-Rensei-Org" in await refusal(form, "whoami", header=header, credential=credential)
    assert "credential" in await refusal(form, "whoami", credential=bearer(value))
    assert "cookie" in await refusal(form, "whoami", credential=bearer(value, "cookieAuth"))
    assert recorder.requests == []


@pytest.mark.parametrize("value", ["a; admin=1", 'a"b', "a,b", "a b", "ü", "a\\b"])
async def test_no_value_ends_a_cookie(form, recorder, value):
    assert "cookie" in await refusal(form, "whoami", credential=bearer(value, "cookieAuth"))
    assert recorder.requests == []


async def test_no_letter_that_a_header_lacks_breaks_the_proxy(form, recorder):
    text = await refusal(form, "whoami", header={"X-Rensei-Org": "\u4e2d"})

    assert "X-Rensei-Org" in text
    assert recorder.requests == []


@pytest.mark.parametrize(
    "credential",
    [
        bearer("x", "webhookHmac"),
        bearer("x", "nobodys"),
        {"scheme": "rsk_Bearer", "value": "x", "header": "Host"},
        {"scheme": "rsk_Bearer", "value": "x", "header": "linear-signature"},
        bearer("  "),
    ],
)
async def test_a_credential_is_one_that_the_operation_takes(form, recorder, credential):
    assert "credential" in await refusal(form, "whoami", credential=credential)
    assert recorder.requests == []


@pytest.mark.parametrize("header", ["Host", "Authorization", "Cookie", "X-Forwarded-For"])
async def test_a_signature_takes_no_header_but_a_signatures(form, recorder, header):
    credential = {"scheme": "webhookHmac", "value": "x", "header": header}

    await refusal(form, "webhookIngest", path={"provider": "linear"}, credential=credential)

    assert recorder.requests == []


async def test_a_value_in_the_path_is_needed_and_leads_to_no_other_operation(form, recorder):
    assert "path.id" in await refusal(form, "getWorker", path={})
    assert "path.id" in await refusal(form, "getWorker", path={"id": ""})
    for name, values in _astray():
        assert "another operation" in await refusal(form, name, path=values)
    assert recorder.requests == []


def _astray():
    """Operations with values that make their path one that routing gives to another."""
    for ours in OPERATIONS:
        for theirs in OPERATIONS:
            pairs = list(zip(ours.path.split("/"), theirs.path.split("/"), strict=False))
            longer = ours.path.count("/") != theirs.path.count("/")
            if longer or ours.path == theirs.path:
                continue
            if all(a == b or a.startswith("{") for a, b in pairs) and "{" not in theirs.path:
                yield ours.id, {a[1:-1]: b for a, b in pairs if a.startswith("{")}


def test_there_are_values_that_would_lead_astray():
    assert list(_astray())


async def test_a_content_type_is_one_that_the_operation_takes(form, recorder):
    wrong = await refusal(form, "daemonRegister", body="x", contentType="text/html")
    none = await refusal(form, "daemonRegister", body="x")
    bodiless = await refusal(form, "getHealth", body="x", contentType="application/json")

    assert "application/json" in wrong
    assert "contentType" in none
    assert "contentType" in bodiless
    assert recorder.requests == []


# --- the form ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown():
    return reference.read(CONTRACT.spec, RULES)


def test_a_form_asks_for_what_the_proxy_takes(shown):
    for operation, raw in zip(shown.operations, _in_order(shown), strict=True):
        made = playground_form.form(operation, shown)
        declared = [(p["in"], p["name"]) for p in raw.parameters]
        assert [(p["in"], p["name"]) for p in made["parameters"]] == declared
        assert made["proxy"] == f"{PROXY}/{raw.id}"
        schemes = tuple(each["name"] if each else "" for each in made["security"])
        assert schemes == raw.security


def _in_order(shown):
    found = {each.id: each for each in OPERATIONS}
    return [found[each.id] for each in shown.operations]


def test_a_form_of_pages_without_a_server_has_no_proxy(shown):
    made = playground_form.form(shown.operations[0], shown, static=True)

    assert made["proxy"] is None


def test_hostile_text_of_the_contract_stays_inside_its_attribute(page_of):
    evil = "'><img src=x> \"</script><script>alert(1)</script><!-- &quot;"

    html = page_of(evil)

    assert "<script>alert" not in html
    assert "'><img" not in html
    made = json.loads(unescape(re.search("data-form='([^']*)'", html)[1]))
    assert made["parameters"][0]["enum"] == [evil]
    assert made["body"]["media"][0]["example"] == {"a": evil}


@pytest.fixture
def page_of(small):
    """The page of an operation whose contract says this text wherever it can."""

    def make(text: str) -> str:
        spec: dict[str, Any] = small(
            description=f"{text}\n\n*Permissions:* none.",
            parameters=[{"name": "x", "in": "query", "schema": {"type": "string", "enum": [text]}}],
            requestBody={"content": {"application/json": {"schema": {}, "example": {"a": text}}}},
        )
        pages = create_pages(spec, {"getThing": RULES["getHealth"]}, BASE_URL)
        return pages.test_client().get("/docs/api/reference/things/getThing").text

    return make
