"""What Schemathesis is told beside the contract: who calls, and what must outlive the run.

Named by the variable SCHEMATHESIS_HOOKS. The credentials come from the environment, under the
names that the reference's samples use.
"""

import atexit
import hmac
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

import requests
import schemathesis
from requests.auth import AuthBase

from tests.contract.live import AT_WORK, FINISHED_PUBLIC_ID, KEYS_IN_USE, SPARE_CONNECTION
from tests.contract.operations import EXAMPLE, variable

SIGNED_BY: Final = {
    "linear": ("linear-signature", "sha256", ""),
    "github": ("x-hub-signature-256", "sha256", "sha256="),
    "github-actions": ("x-hub-signature-256", "sha256", "sha256="),
    "vercel": ("x-vercel-signature", "sha1", ""),
}


INSTEAD: Final = {
    "deregisterWorker": (EXAMPLE["worker"], EXAMPLE["daemon"]),
    "promptSession": (EXAMPLE["public_session"], FINISHED_PUBLIC_ID),
    "stopSession": (EXAMPLE["public_session"], FINISHED_PUBLIC_ID),
}
"""operation -> (the thing it would end, the thing it ends instead)."""


NEED_WORK: Final = {"credentialSnapshot"}
"""Operations about a session at work, which the example of `updateSessionStatus` ends."""


def needs_a_bearer(context: schemathesis.AuthContext) -> bool:
    return variable(context.operation.definition.raw["operationId"]) is not None


@schemathesis.auth(refresh_interval=None).apply_to(needs_a_bearer)
class Credential:
    """A good credential of the kind that the operation is made for."""

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str | None:
        return variable(context.operation.definition.raw["operationId"])

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        value = os.environ[data]
        if data == "RENSEI_SESSION":
            case.cookies["wos-session"] = value
            case.headers["Origin"] = os.environ["RENSEI_BASE_URL"]
        else:
            case.headers["Authorization"] = f"Bearer {value}"


class Signature(AuthBase):
    """Signs a delivery over the bytes that are sent, as its provider does."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        provider = str(request.url).partition("?")[0].rpartition("/")[2]
        if provider in SIGNED_BY:
            header, algorithm, prefix = SIGNED_BY[provider]
            body = request.body or b""
            body = body.encode() if isinstance(body, str) else body
            secret = os.environ["WEBHOOK_SECRET_LINEAR"].encode()
            request.headers[header] = prefix + hmac.new(secret, body, algorithm).hexdigest()
        return request


schemathesis.auths.GLOBAL_AUTH_STORAGE.set_from_requests(Signature()).apply_to(
    operation_id="webhookIngest"
)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: Any) -> None:
    """Lists tell the ids of the keys that this run calls with; revoking one would end it. So would
    the end of the worker and of the session that all the reports are about: others end instead."""
    if case.path_parameters.get("keyId") in KEYS_IN_USE:
        case.path_parameters["keyId"] = "key_not_to_be_revoked"
    if case.query.get("waitSeconds"):  # the server may take that long; the run need not
        case.query["waitSeconds"] = _shorter(case.query["waitSeconds"])
    if case.operation.definition.raw["operationId"] == "streamEvents":  # or it has no end
        case.query.setdefault("waitSeconds", 0)
    body = case.body if isinstance(case.body, dict) else {}
    operation_id = case.operation.definition.raw["operationId"]
    # The stream of an interview that goes on has no end.
    if operation_id == "streamInterview" and case.path_parameters.get("id", "").startswith("int_"):
        case.path_parameters["id"] = EXAMPLE["finished_interview"]
    ends = operation_id == "deleteConnection"
    if ends and case.path_parameters.get("connectionId") == EXAMPLE["connection"]:
        case.path_parameters["connectionId"] = SPARE_CONNECTION
    if operation_id in NEED_WORK and body.get("sessionId") == EXAMPLE["session"]:
        body["sessionId"] = AT_WORK
    instead = INSTEAD.get(operation_id)
    if instead and case.path_parameters.get("id") == instead[0]:
        case.path_parameters["id"] = instead[1]


def _shorter(wait: Any) -> Any:
    """A wait that fits the contract, a tenth of a second long; any other as it is."""
    try:
        return 0.1 if 0 < float(wait) <= 25 else wait
    except (TypeError, ValueError):
        return wait


_tally: Final[Counter[str]] = Counter()


@schemathesis.hook
def after_call(
    context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response
) -> None:
    """Count the answers by operation and status."""
    operation_id = case.operation.definition.raw["operationId"]
    _tally[f"{operation_id} {response.status_code}"] += 1


@atexit.register
def _tell() -> None:
    if path := os.environ.get("RENSEI_FUZZ_TALLY"):
        Path(path).write_text(json.dumps(_tally))
