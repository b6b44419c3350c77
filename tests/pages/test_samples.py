"""The samples run as they are printed, and all languages send what the contract shows."""

import functools
import hashlib
import hmac
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest

from pages.reference import Operation, Reference
from pages.samples import curl, python, samples_of, typescript
from tests.samples import Node, quick_httpx, run_python

BASE_URL = "http://127.0.0.1:8080"
SECRETS = {
    name: f"value of {name}"
    for name in (
        "RENSEI_ORG_KEY",
        "RENSEI_WORKER_KEY",
        "RENSEI_RUNTIME_TOKEN",
        "RENSEI_BATCH_TOKEN",
        "RENSEI_SYSTEM_KEY",
        "RENSEI_SESSION",
        "RENSEI_M2M_CLIENT_ID",
        "RENSEI_M2M_CLIENT_SECRET",
        "WEBHOOK_SECRET_LINEAR",
    )
}


class Call:
    """What curl was given, taken apart."""

    def __init__(self, given: list[str]) -> None:
        self.method = "GET"
        self.headers: dict[str, str] = {}
        self.body: str | None = None
        self.url = ""
        self.output = ""
        words = iter(given)
        for word in words:
            match word:
                case "-X":
                    self.method = next(words)
                case "-H":
                    name, value = next(words).split(": ", 1)
                    self.headers[name] = value
                case "-d":
                    self.body = next(words)
                case "-N":
                    pass
                case "--output":
                    self.output = next(words)
                case _:
                    self.url = word


@functools.cache
def run(sample: str) -> Call:
    """Run the sample in bash, with a curl that only tells what it was given."""
    script = 'curl() { printf "%s\\0" "$@"; }\n' + sample
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=SECRETS | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == ""
    return Call(done.stdout.split("\0")[:-1])


def call(shown: Reference, spec: dict[str, Any], operation_id: str) -> Call:
    operation = next(each for each in shown.operations if each.id == operation_id)
    return run(curl.sample(operation, spec, BASE_URL))


def test_every_sample_calls_its_operation_with_its_example(
    shown: Reference, spec: dict[str, Any]
) -> None:
    for operation in shown.operations:
        made = run(curl.sample(operation, spec, BASE_URL))

        assert made.method == operation.method
        address = urlsplit(made.url)
        template = re.sub(r"\\\{[^}]+\\\}", "[^/{}]+", re.escape(operation.path))
        assert f"{address.scheme}://{address.netloc}" == BASE_URL
        assert re.fullmatch(template, address.path), operation.id
        if operation.body is not None and operation.body.required:
            example = operation.body.media[-1].example
            assert made.headers["Content-Type"] == "application/json"
            assert made.body is not None
            assert json.loads(made.body).keys() == example.keys()


@pytest.mark.parametrize(
    ("operation_id", "variable"),
    [
        ("workerPoll", "RENSEI_WORKER_KEY"),
        ("daemonHeartbeat", "RENSEI_RUNTIME_TOKEN"),
        ("postBatchResult", "RENSEI_BATCH_TOKEN"),
        ("listPublicSessions", "RENSEI_ORG_KEY"),
        ("createOrganization", "RENSEI_SYSTEM_KEY"),
    ],
)
def test_the_key_fits_the_operation(
    shown: Reference, spec: dict[str, Any], operation_id: str, variable: str
) -> None:
    made = call(shown, spec, operation_id)

    assert made.headers["Authorization"] == f"Bearer {SECRETS[variable]}"


def test_a_public_operation_sends_no_credential(shown: Reference, spec: dict[str, Any]) -> None:
    made = call(shown, spec, "getHealth")

    assert made.headers == {}
    assert made.body is None


def test_a_change_by_cookie_comes_from_the_servers_own_pages(
    shown: Reference, spec: dict[str, Any]
) -> None:
    made = call(shown, spec, "endBrowserSession")

    assert made.headers["Cookie"] == f"wos-session={SECRETS['RENSEI_SESSION']}"
    assert made.headers["Origin"] == BASE_URL


def test_secrets_in_a_body_come_from_the_environment(
    shown: Reference, spec: dict[str, Any]
) -> None:
    daemon = call(shown, spec, "daemonRegister")
    token = call(shown, spec, "issueM2MToken")

    assert json.loads(daemon.body or "")["registrationToken"] == SECRETS["RENSEI_WORKER_KEY"]
    assert json.loads(token.body or "")["client_id"] == SECRETS["RENSEI_M2M_CLIENT_ID"]
    assert json.loads(token.body or "")["client_secret"] == SECRETS["RENSEI_M2M_CLIENT_SECRET"]


def test_a_webhook_is_signed_over_the_bytes_that_are_sent(
    shown: Reference, spec: dict[str, Any]
) -> None:
    made = call(shown, spec, "webhookIngest")

    secret = SECRETS["WEBHOOK_SECRET_LINEAR"].encode()
    signature = hmac.new(secret, (made.body or "").encode(), hashlib.sha256).hexdigest()
    assert made.headers["linear-signature"] == signature


def test_whatever_stands_in_an_example_reaches_curl_unharmed(
    small_operation: Callable[..., Operation], small: Callable[..., dict[str, Any]]
) -> None:
    hard = 'it\'s $HOME `id` "x" \\ ! & ü\n{}'
    parameters = [{"name": "q", "in": "query", "required": True, "example": hard}]
    body = {"required": True, "content": {"application/json": {"example": {hard: hard}}}}

    operation = small_operation(parameters=parameters, requestBody=body)
    made = run(curl.sample(operation, small(), BASE_URL))

    assert json.loads(made.body or "") == {hard: hard}
    assert unquote(urlsplit(made.url).query.replace("+", " ")) == f"q={hard}"


def test_a_form_is_sent_as_a_form(
    small_operation: Callable[..., Operation], small: Callable[..., dict[str, Any]]
) -> None:
    form = {"client_id": "kept out", "note": "a & b"}
    body = {"required": True, "content": {"application/x-www-form-urlencoded": {"example": form}}}

    made = run(curl.sample(small_operation(requestBody=body), small(), BASE_URL))

    assert made.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert made.body == f"client_id={SECRETS['RENSEI_M2M_CLIENT_ID']}&note=a+%26+b"


# What a client says of itself, not what the sample says.
OWN = {"accept", "accept-encoding", "connection", "host", "user-agent", "content-length"}


def plain(method: str, url: str, headers: dict[str, str], body: str) -> tuple[object, ...]:
    """A request as it can be compared: JSON by its value, names of headers in small letters."""
    kept = {name.lower(): text for name, text in headers.items() if name.lower() not in OWN}
    kind = kept.get("content-type", "").partition(";")[0]
    # A signature is over the bytes, and each language spaces its JSON as it likes.
    kept.pop("linear-signature", None)
    if kind.endswith("form-urlencoded"):
        return method, url, kept | {"content-type": kind}, parse_qsl(body)
    return method, url, kept, json.loads(body) if kind.endswith("json") else body


def by_curl(sample: str) -> tuple[object, ...]:
    made = run(sample)
    return plain(made.method, made.url, made.headers, made.body or "")


def by_python(sample: str, folder: Path) -> tuple[object, ...]:
    taken = []

    def take(_: object, request: httpx.Request) -> httpx.Response:
        taken.append(request)
        return httpx.Response(200, text="{}")

    with mock.patch.object(httpx.HTTPTransport, "handle_request", take):
        run_python(sample, SECRETS, folder)
    (request,) = taken
    body = request.read().decode()
    return plain(request.method, str(request.url), dict(request.headers), body)


def by_node(node: Node, sample: str) -> tuple[object, ...]:
    came = node.run(sample, SECRETS)
    assert came["error"] is None, f"{came['error']}\n{sample}"
    asked = came["request"]
    return plain(asked["method"], asked["url"], asked["headers"], asked["body"])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), pretend=True) as running:
        yield running


def test_all_languages_send_the_same(
    shown: Reference, spec: dict[str, Any], node: Node, tmp_path: Path
) -> None:
    with quick_httpx():
        for operation in shown.operations:
            in_bash, in_python, in_typescript = samples_of(operation, spec, BASE_URL)

            sent = by_curl(in_bash.text)
            assert by_python(in_python.text, tmp_path) == sent, operation.id
            assert by_node(node, in_typescript.text) == sent, operation.id


@pytest.mark.parametrize(
    ("content_type", "example"),
    [
        ("application/json", {}),
        ("application/json", [None, True, 1.5, {"a": []}]),
        ("application/json", "a text"),
        ("application/vnd.own+json", {"a": 1}),
        ("application/x-www-form-urlencoded", {"client_id": "kept out", "note": "a & b"}),
        ("text/plain", "it's\nplain"),
    ],
)
def test_all_languages_send_any_body(
    small_operation: Callable[..., Operation],
    small: Callable[..., dict[str, Any]],
    node: Node,
    tmp_path: Path,
    content_type: str,
    example: object,
) -> None:
    body = {"required": True, "content": {content_type: {"example": example}}}
    operation = replace(small_operation(requestBody=body), method="POST")

    sent = by_curl(curl.sample(operation, small(), BASE_URL))

    assert by_node(node, typescript.sample(operation, small(), BASE_URL)) == sent
    assert by_python(python.sample(operation, small(), BASE_URL), tmp_path) == sent


HARD = "'\"`\\$HOME ${1} {x} `id` //\n\t\x00\x7f\u2028\u202e\ud7ff😀ü</script>\r\n*/"


def test_whatever_stands_in_an_example_reaches_the_wire_unharmed(
    small_operation: Callable[..., Operation],
    small: Callable[..., dict[str, Any]],
    node: Node,
    tmp_path: Path,
) -> None:
    parameters = [{"name": HARD, "in": "query", "required": True, "example": HARD}]
    example = {HARD: [HARD, {"__proto__": HARD, "a-b": None}], "__proto__": {"class": True}}
    body = {"required": True, "content": {"application/json": {"example": example}}}
    made = small_operation(parameters=parameters, requestBody=body)
    operation = replace(made, method="POST")

    in_python = by_python(python.sample(operation, small(), BASE_URL), tmp_path)
    in_typescript = by_node(node, typescript.sample(operation, small(), BASE_URL))

    for _, url, _, sent in (in_python, in_typescript):
        assert sent == example
        assert parse_qsl(urlsplit(str(url)).query) == [(HARD, HARD)]
    assert in_python[3] == in_typescript[3]


def test_samples_are_the_same_every_time(shown: Reference, spec: dict[str, Any]) -> None:
    for operation in shown.operations:
        assert samples_of(operation, spec, BASE_URL) == samples_of(operation, spec, BASE_URL)
