"""The samples run in bash as they are printed, and send what the contract shows."""

import hashlib
import hmac
import json
import re
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from pages import curl
from pages.reference import Operation, Reference

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
                case "--output":
                    self.output = next(words)
                case _:
                    self.url = word


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
        if operation.body is not None:
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
    body = {"content": {"application/json": {"example": {hard: hard}}}}

    operation = small_operation(parameters=parameters, requestBody=body)
    made = run(curl.sample(operation, small(), BASE_URL))

    assert json.loads(made.body or "") == {hard: hard}
    assert unquote(urlsplit(made.url).query.replace("+", " ")) == f"q={hard}"


def test_a_form_is_sent_as_a_form(
    small_operation: Callable[..., Operation], small: Callable[..., dict[str, Any]]
) -> None:
    form = {"client_id": "kept out", "note": "a & b"}
    body = {"content": {"application/x-www-form-urlencoded": {"example": form}}}

    made = run(curl.sample(small_operation(requestBody=body), small(), BASE_URL))

    assert made.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert made.body == f"client_id={SECRETS['RENSEI_M2M_CLIENT_ID']}&note=a+%26+b"
