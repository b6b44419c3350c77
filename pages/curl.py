"""A curl sample for an operation, runnable in bash as it is printed.

Secrets come from the environment, never from the sample: a reader exports them once and every
sample of the reference works.
"""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from domain.principal import Kind
from pages.reference import Media, Operation
from pages.schemas import Json, resolve

_WORKER_TAG: Final = "worker-protocol"
_LINEAR_SIGNATURE: Final = "linear-signature"

# Members of request bodies that are credentials, and the variables that hold them.
_SECRET_MEMBERS: Final = {
    "registrationToken": "RENSEI_WORKER_KEY",
    "client_id": "RENSEI_M2M_CLIENT_ID",
    "client_secret": "RENSEI_M2M_CLIENT_SECRET",
}

_GZIP: Final = "application/gzip"
"""What belongs into a file and not on a terminal."""

_SHORT: Final = 72
"""A JSON body up to this length stays on one line."""


def sample(operation: Operation, spec: Json, base_url: str) -> str:
    """The lines a reader pastes into bash to call the operation at `base_url`."""
    scheme = _scheme(operation, spec)
    signed = scheme.get("type") == "apiKey" and scheme.get("in") == "header"
    media = _media(operation)
    body = "" if media is None else _body(media)

    arguments = [shlex.quote(base_url.rstrip("/") + _target(operation))]
    arguments += [f"-H {each}" for each in _credential(operation, scheme, base_url)]
    arguments += [
        f"-H {shlex.quote(f'{each.name}: {_text(each.example)}')}"
        for each in operation.parameters
        if each.place == "header" and each.required
    ]
    if media is not None:
        arguments.append(f"-H {shlex.quote(f'Content-Type: {media.content_type}')}")
        arguments.append('-d "$body"' if signed else f"-d {body}")
    if any(each.content_type == _GZIP for answer in operation.responses for each in answer.media):
        arguments.append(f"--output {operation.id}.gz")
    command = "curl" if operation.method == "GET" else f"curl -X {operation.method}"
    call = f"{command} " + " \\\n  ".join(arguments)
    return f"{_signature(body)}\n{call}" if signed else call


def _scheme(operation: Operation, spec: Json) -> Json:
    name = operation.security[0] if operation.security else ""
    if not name:
        return {}
    found, _ = resolve(spec, spec["components"]["securitySchemes"][name])
    return found


ENDED_BY: Final = ("streamEvents", "waitSeconds")
"""The stream of all sessions has no end; its sample is given one."""


def _target(operation: Operation) -> str:
    path = operation.path
    query = []
    for each in operation.parameters:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", quote(_text(each.example), safe=""))
        elif each.place == "query" and (each.required or (operation.id, each.name) == ENDED_BY):
            query.append((each.name, _text(each.example)))
    return path + (f"?{urlencode(query)}" if query else "")


def _credential(operation: Operation, scheme: Json, base_url: str) -> Iterable[str]:
    match scheme.get("type"), scheme.get("in"):
        case None, _:
            return
        case "apiKey", "cookie":
            yield f"'Cookie: {scheme['name']}='\"$RENSEI_SESSION\""
            if operation.method != "GET":
                # A change by cookie is refused unless it comes from the server's own pages.
                address = urlsplit(base_url)
                yield shlex.quote(f"Origin: {address.scheme}://{address.netloc}")
        case "apiKey", _:
            # The contract names one header; Linear's is the one whose secret every demo has.
            yield f"'{_LINEAR_SIGNATURE}: '\"$signature\""
        case _:
            yield f"'Authorization: Bearer '\"${_key(operation)}\""


def _key(operation: Operation) -> str:
    if operation.scope == "system":
        return "RENSEI_SYSTEM_KEY"
    if operation.kinds == (Kind.RUNTIME.value,):
        return "RENSEI_RUNTIME_TOKEN"
    if operation.kinds == (Kind.BATCH.value,):
        return "RENSEI_BATCH_TOKEN"
    takes_workers = operation.slug == _WORKER_TAG and Kind.PROJECT_KEY.value in operation.kinds
    return "RENSEI_WORKER_KEY" if takes_workers else "RENSEI_ORG_KEY"


def _media(operation: Operation) -> Media | None:
    if operation.body is None:
        return None
    for each in operation.body.media:
        if each.content_type == "application/json":
            return each
    return next(iter(operation.body.media), None)


def _body(media: Media) -> str:
    if isinstance(media.example, str):
        return shlex.quote(media.example)
    if media.content_type == "application/x-www-form-urlencoded":
        return _quoted(urlencode(_without_secrets(media.example or {})))
    example = _without_secrets({} if media.example is None else media.example)
    compact = json.dumps(example, ensure_ascii=False)
    if len(compact) <= _SHORT:
        return _quoted(compact)
    return _quoted(json.dumps(example, ensure_ascii=False, indent=2))


def _without_secrets(example: Any) -> Any:
    if not isinstance(example, Mapping):
        return example
    return {
        name: f"__{_SECRET_MEMBERS[name]}__" if name in _SECRET_MEMBERS else value
        for name, value in example.items()
    }


def _quoted(text: str) -> str:
    # Always in quotes, which the variables below close and open again.
    quoted = "'" + text.replace("'", "'\"'\"'") + "'"
    for variable in _SECRET_MEMBERS.values():
        quoted = quoted.replace(f"__{variable}__", f"'\"${variable}\"'")
    return quoted


def _signature(body: str) -> str:
    # The same bytes are signed and sent, so they stand in one variable.
    return (
        f"body={body}\n"
        'signature=$(printf %s "$body" |\n'
        '  openssl dgst -sha256 -hmac "$WEBHOOK_SECRET_LINEAR" -r | cut -d " " -f 1)'
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
