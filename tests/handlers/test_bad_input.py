"""Requests that nobody should send: each is refused, in the envelope, and nothing breaks.

The test client checks that every refusal is the envelope and that none tells of the inside.
"""

import json
import select
import socket
import time

import httpx
import pytest

from tests.browser.live_server import environment, live_server
from tests.client import BASE_URL
from tests.conftest import SYSTEM_KEY

MEGABYTE = 1024 * 1024
JSON = {"Content-Type": "application/json"}


def projects(make):
    return f"/api/org/{make.org_id}/projects"


async def send(make, body, headers=None):
    return await make.org.post(projects(make), content=body, headers=JSON | (headers or {}))


async def send_parts(make, parts):
    """Send a body in chunks, which the judging client cannot read again."""
    caller = make.org
    async with httpx.AsyncClient(transport=caller._transport, base_url=BASE_URL) as client:
        return await client.post(projects(make), content=parts, headers={**caller.headers, **JSON})


async def made_projects(make):
    return len((await make.org.get(projects(make))).json()["projects"])


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"nonsense",
        b"{'name':'x'}",
        b'{"name":"x",}',
        b'{"name":"x"} {"slug":"y"}',
        b'{"name":"x","slug":"y"}garbage',
        b'{"name":NaN}',
        b'{"name":"x","slug":"y","n":Infinity}',
        b'{"name":"x","slug":"y","n":-Infinity}',
        b'{"name":"x","slug":"y","n":01}',
        b'{"name":"x","slug":"y","n":.5}',
        b'{"name":"x\ty","slug":"y"}',
        b'{"name":"\\x41","slug":"y"}',
        b'{"name":"x","slug":"y"// comment\n}',
        b"\xef\xbb\xbf{}",
        b" ",
        b"\0",
        b'{"name":"x","slug":"y"}\0',
    ],
)
async def test_a_body_that_is_no_json_is_refused_as_such(make, body):
    answer = await send(make, body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: is not valid JSON")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"\xff","slug":"y"}',
        b'{"name":"\xc3","slug":"y"}',
        b'{"name":"\xed\xa0\x80","slug":"y"}',
        b'{"name":"\xc0\x80","slug":"y"}',
        '{"name":"x","slug":"y"}'.encode("utf-16"),
        b"\xff" * 1000,
    ],
)
async def test_a_body_that_is_not_utf8_is_refused(make, body):
    answer = await send(make, body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: ")


@pytest.mark.parametrize(
    "text", ["\\ud800", "\\udfff", "\\udc00\\ud800", "x\\ud83d", "\\ud83d\\u0041"]
)
async def test_a_lone_surrogate_is_refused(make, text):
    answer = await send(make, f'{{"name":"{text}","slug":"y"}}'.encode())

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"a\\u0000b","slug":"y"}',
        b'{"name":"x","slug":"y","other":{"deep":["\\u0000"]}}',
        b'{"name":"x","slug":"y","\\u0000":1}',
        b'{"name":"\\\\\\u0000","slug":"y"}',
    ],
)
async def test_a_nul_character_is_refused_wherever_it_stands(make, body):
    answer = await send(make, body)

    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "body: must not contain a NUL character"},
    )


async def test_text_that_only_looks_like_a_nul_is_kept_as_it_is(make):
    answer = await send(make, b'{"name":"a\\\\u0000b","slug":"y"}')

    assert answer.json()["project"]["name"] == "a\\u0000b"


async def test_any_other_character_travels_untouched(make):
    name = "😀 ключ \u202e\ufeff\u0001 ' \" \\ <script> {{7*7}} %s"

    answer = await send(make, json.dumps({"name": name, "slug": "y"}).encode())

    assert answer.json()["project"]["name"] == name


@pytest.mark.parametrize(
    ("opening", "closing", "levels"),
    [
        ("[", "]", 250),
        ('{"a":', "}", 250),
        ("[", "]", 2_000),
        ("[", "", 100_000),
        ("[", "]", 500_000),
    ],
)
async def test_a_deeply_nested_body_is_refused(make, opening, closing, levels):
    nested = opening * levels + ("1" if closing else "") + closing * levels
    body = f'{{"name":"x","slug":"y","extra":{nested}}}'.encode()

    answer = await send(make, body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: ")


@pytest.mark.parametrize("value", [[], "text", 7, None, True, [{"name": "x", "slug": "y"}]])
async def test_a_body_that_is_no_object_is_refused(make, value):
    answer = await send(make, json.dumps(value).encode())

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: ")


@pytest.mark.parametrize(
    "number", ["9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "1e400", "1e308"]
)
async def test_a_number_beyond_64_bits_is_refused_where_a_number_belongs(make, number):
    answer = await make.org.patch(
        f"/api/org/{make.org_id}/settings",
        content=f'{{"maxAttempts":{number}}}',
        headers=JSON,
    )

    assert answer.status_code == 400
    assert len(answer.text) < 500


@pytest.mark.parametrize("number", ["9223372036854775808", "18446744073709551616", "1e308", "-0"])
async def test_a_number_beyond_64_bits_is_let_be_where_nobody_reads_it(make, number):
    answer = await send(make, f'{{"name":"x","slug":"y","extra":{number}}}'.encode())

    assert answer.status_code == 201


async def test_a_huge_string_is_refused_briefly(make):
    answer = await send(make, json.dumps({"name": "x" * 900_000, "slug": "y"}).encode())

    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "body.name: must have at most 200 characters"},
    )


async def test_what_was_sent_is_never_echoed_at_length(make):
    wrong = {"name": ["y" * 50_000], "slug": "Z" * 50_000, "repository": {"k" * 50_000: 1}}

    answer = await send(make, json.dumps(wrong).encode())

    assert answer.status_code == 400
    assert len(answer.text) < 1000


async def test_every_fault_of_a_body_is_told_up_to_a_few(make):
    answer = await send(make, b'{"name":7,"slug":"-"}')

    told = answer.json()["error"]
    assert answer.status_code == 400
    assert "body.name: 7 is not a string" in told
    assert "body.slug" in told


async def test_a_member_given_twice_counts_as_its_last(make):
    answer = await send(make, b'{"name":"first","name":"last","slug":"y"}')

    assert answer.json()["project"]["name"] == "last"


async def test_one_megabyte_is_the_most_a_body_may_have(make):
    frame = b'{"name":"x","slug":"y","extra":"%s"}'
    room = MEGABYTE - len(frame) + 2

    fits = await send(make, frame % (b"x" * room))
    over = await send(make, frame % (b"x" * (room + 1)))

    assert fits.status_code == 201
    assert (over.status_code, over.json()) == (
        413,
        {"error": f"body: longer than {MEGABYTE} bytes"},
    )


async def test_a_body_in_chunks_is_read_like_any_other(make):
    async def parts():
        for part in (b'{"name":', b'"in parts",', b"", b'"slug":"y"}'):
            yield part

    answer = await send_parts(make, parts())

    assert answer.json()["project"]["name"] == "in parts"


async def test_an_endless_body_in_chunks_is_cut_at_the_limit(make):
    taken = 0

    async def parts():
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield b"x" * MEGABYTE

    answer = await send_parts(make, parts())

    assert (answer.status_code, answer.json().keys()) == (413, {"error"})
    assert taken <= 3


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "9" * 5000])
async def test_an_announced_length_that_is_no_number_is_refused(make, length):
    answer = await send(make, b"{}", {"Content-Length": length})

    assert answer.status_code in {400, 413}


async def test_a_refused_request_changes_nothing(make, audit_log):
    for body in (b"{", b'{"name":"x"}', b'{"name":"a\\u0000b","slug":"y"}', b"\xff"):
        await send(make, body)

    assert await made_projects(make) == 1
    assert await audit_log() == []


# --- media types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application",
        "/",
        "*/*",
        "",
        ";",
        "application/json/x",
        "é",
    ],
)
async def test_another_content_type_is_415_and_told_what_is_taken(make, media):
    answer = await make.org.post(
        projects(make),
        content=b'{"name":"x","slug":"y"}',
        headers={"Content-Type": media.encode("latin-1")},
    )

    assert (answer.status_code, answer.json()) == (
        415,
        {"error": "Content-Type must be application/json"},
    )


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json ; version=1",
        "application/json;",
    ],
)
async def test_json_may_be_announced_in_any_spelling(make, media):
    answer = await make.org.post(
        projects(make), content=b'{"name":"x","slug":"y"}', headers={"Content-Type": media}
    )

    assert answer.status_code == 201


async def test_without_any_content_type_a_body_is_415(make):
    answer = await make.org.post(projects(make), content=b'{"name":"x","slug":"y"}')

    assert answer.status_code == 415


@pytest.mark.parametrize("media", ["application/json", "text/plain", None])
async def test_an_empty_body_is_missing_whatever_its_type(make, media):
    headers = {"Content-Type": media} if media else {}

    answer = await make.org.post(projects(make), content=b"", headers=headers)

    assert (answer.status_code, answer.json()) == (400, {"error": "body: is required"})


async def test_an_empty_body_passes_where_none_is_required(make):
    worker = await make.worker()
    refresh = f"/api/workers/{worker.id}/refresh-token"

    answers = [
        await worker.client.post(refresh, content=b"", headers=JSON),
        await worker.client.post(refresh),
        await make.org.post("/api/auth/session", content=b"", headers=JSON),
        await make.org.request("GET", "/api/cli/whoami", content=b"", headers=JSON),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 201, 200]


# --- paths and methods ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/health", "GET"),
        ("POST", "/api/health", "GET"),
        ("DELETE", "/api/public/sessions", "GET"),
        ("GET", "/api/oauth/token", "POST"),
        ("GET", "/api/webhooks/ingest/linear", "POST"),
        ("PATCH", "/api/org/org_x/keys", "GET, POST"),
        ("GET", "/api/auth/session", "DELETE, POST"),
        ("POST", "/api/org/org_x/settings", "GET, PATCH"),
        ("GET", "/api/org/org_x/keys/key_x", "DELETE"),
        ("OPTIONS", "/api/health", "GET"),
        ("TRACE", "/api/health", "GET"),
        ("BREW", "/api/health", "GET"),
        ("get", "/api/oauth/token", "POST"),
    ],
)
async def test_another_method_is_405_and_told_which_are_allowed(anonymous, method, path, allow):
    answer = await anonymous.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert allow.split(", ")[0] in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/healthy",
        "/api/health/",
        "/api/health/x",
        "/API/health",
        "/api//health",
        "/api/org//keys",
        "/api/org/org_x/keys/a/b",
        "/v2/api/health",
        "/.env",
        "/api/../etc/passwd",
        "/favicon.ico",
        "/api/" + "x/" * 5000,
        "/" + "x" * 60_000,
        "/docsx",
    ],
)
async def test_an_unknown_path_is_404_and_told_where_the_reference_is(anonymous, path):
    answer = await anonymous.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"].endswith("/docs/api/reference")


async def test_a_doubled_slash_in_front_is_one(make):
    answers = [
        await make.org.get(f"{BASE_URL}{slashes}api/cli/whoami") for slashes in ("/", "//", "///")
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_a_doubled_slash_opens_nothing(anonymous):
    assert (await anonymous.get(f"{BASE_URL}//api/cli/whoami")).status_code == 401


@pytest.mark.parametrize("escape", ["%00", "a%00b", "%ff", "%c0%80", "%ed%a0%80"])
async def test_a_path_that_is_no_storable_text_is_refused(make, escape):
    answer = await make.org.delete(f"/api/org/{make.org_id}/keys/{escape}")

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("path")


async def test_an_escaped_slash_stays_inside_its_segment(make):
    answer = await make.org.delete(f"/api/org/{make.org_id}/keys/key%2F..%2Fx")

    assert (answer.status_code, answer.json()) == (404, {"error": "Key not found"})


async def test_an_id_longer_than_any_is_refused(make):
    answer = await make.org.delete(f"/api/org/{make.org_id}/keys/{'k' * 201}")

    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "path.keyId: must have at most 200 characters"},
    )


@pytest.mark.parametrize("org_id", ["%00", "a%00b", "%F0%9F%98%80", "'%20or%201=1", "..%2F..", "*"])
async def test_an_odd_organization_is_refused_for_every_caller(make, org_id):
    for caller in (make.org, make.system):
        answer = await caller.get(f"/api/org/{org_id}/settings")
        assert answer.status_code in {400, 404}


# --- query and headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("limit=1&limit=2", "query.limit: is given more than once"),
        ("cursor=1_a&cursor=1_a", "query.cursor: is given more than once"),
        ("limit=%FF", "query: is not valid UTF-8"),
        ("limit=1%00", "query.limit: "),
        ("limit=9223372036854775808", "query.limit: '9223372036854775808' is not an integer"),
        ("limit=1e2", "query.limit: '1e2' is not an integer"),
        ("limit=0x10", "query.limit: '0x10' is not an integer"),
        ("limit=%D9%A3", "query.limit: "),
        ("limit= 5", "query.limit: "),
        ("cursor=1_a%00", "query.cursor: "),
        ("cursor=1_" + "a" * 201, "query.cursor: "),
        ("&".join(f"a{n}=1" for n in range(1001)), "query: has more than 1000 fields"),
    ],
)
async def test_a_query_that_cannot_be_read_is_told_where(make, query, error):
    answer = await make.org.get(f"{projects(make)}?{query}")

    assert answer.status_code == 400
    assert error in answer.json()["error"]
    assert len(answer.text) < 500


@pytest.mark.parametrize("query", ["", "&", "=", "&&&", "unknown=1&unknown=2", "LIMIT=0", "%00=1"])
async def test_a_query_that_nobody_reads_is_let_be(make, query):
    assert (await make.org.get(f"{projects(make)}?{query}")).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        ("X-Rensei-Org", "x" * 201),
        ("X-Rensei-Project", "x" * 201),
        ("Referer", "x" * 4097),
    ],
)
async def test_a_header_longer_than_any_is_told_by_name(make, header):
    answer = await make.org.get("/api/public/sessions", headers=dict([header]))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"header.{header[0]}: must have at most")


async def test_a_header_given_twice_is_refused(make):
    named = [("X-Rensei-Project", make.project_id), ("X-Rensei-Project", "other")]

    answer = await make.org.get("/api/public/sessions", headers=named)

    assert answer.status_code == 400
    assert answer.json()["error"] == "header.X-Rensei-Project: is given more than once"


@pytest.mark.parametrize("value", [b"\xff\xfe", "é".encode(), b"'", b"%00"])
async def test_a_header_of_odd_bytes_names_nothing(make, value):
    answers = [
        await make.org.get("/api/public/sessions", headers={name: value})
        for name in ("X-Rensei-Project", "X-Rensei-Org")
    ]

    assert [answer.status_code for answer in answers] == [404, 404]


# --- over a real socket --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(stores, tmp_path_factory):
    """A server in a process of its own."""
    folder = tmp_path_factory.mktemp("live")
    with live_server(environment(stores, SYSTEM_KEY), folder) as server:
        yield server


def push(port, head, part, times):
    """Send until an answer comes; returns the answer and how many bytes of the body were taken."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(head)
        taken, answer = 0, b""
        for _ in range(times):
            readable, _, _ = select.select([line], [], [], 0)
            if readable:
                break
            try:
                line.sendall(part)
            except OSError:
                break
            taken += len(part)
        try:
            while more := line.recv(65536):
                answer += more
        except OSError:
            pass
    return answer, taken


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/api/admin/organizations", "/api/oauth/token"])
def test_fifty_megabytes_are_refused_without_being_read(live, path, chunked):
    size = 50 * MEGABYTE
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SYSTEM_KEY}\r\n"
        f"Content-Type: application/json\r\n{framing}\r\n\r\n"
    ).encode()
    part = b"x" * 65536
    sent = b"%x\r\n%s\r\n" % (len(part), part) if chunked else part

    answer, taken = push(live.port, head, sent, size // len(part))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body) == {"error": f"body: longer than {MEGABYTE} bytes"}
    assert taken < 16 * MEGABYTE


def test_a_body_without_a_credential_is_not_waited_for(live):
    head = (
        b"POST /api/admin/organizations HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )

    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as line:
        line.sendall(head)
        answer = line.recv(65536)

    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_client_that_leaves_halfway_disturbs_nobody(live):
    head = (
        f"POST /api/admin/organizations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SYSTEM_KEY}"
        "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    ).encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", live.port), timeout=5) as line:
            line.sendall(head)
    time.sleep(0.2)

    answer = httpx.get(f"{live.url}/api/health")

    assert answer.status_code == 200
    assert "Traceback" not in live.log.read_text(encoding="utf-8")


def test_chunked_and_empty_bodies_and_doubled_slashes_pass_over_a_socket_too(live):
    path = "/api/admin/organizations"
    with httpx.Client(headers={"Authorization": f"Bearer {SYSTEM_KEY}", **JSON}) as client:
        chunked = client.post(live.url + path, content=iter([b'{"name":"x",', b'"slug":"-"}']))
        empty = client.post(live.url + path, content=b"")
        doubled = client.get(f"{live.url}/{path}")

    assert (chunked.status_code, empty.status_code, doubled.status_code) == (400, 400, 200)
    assert "body.slug" in chunked.json()["error"]
    assert empty.json() == {"error": "body: is required"}
