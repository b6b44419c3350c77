"""What a sample sends and what it reads, before any language says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import quote, urlsplit

from domain.principal import Kind
from pages.reference import Media, Operation
from pages.schemas import Json, resolve

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

ENDED_BY: Final = ("streamEvents", "waitSeconds")
"""The stream of all sessions has no end; its sample is given one."""

_WORKER_TAG: Final = "worker-protocol"
_LINEAR_SIGNATURE: Final = "linear-signature"
_LINEAR_SECRET: Final = "WEBHOOK_SECRET_LINEAR"  # noqa: S105 - its name
_STREAM: Final = "text/event-stream"
_GZIP: Final = "application/gzip"


@dataclass(frozen=True, slots=True)
class Secret:
    """A place where the value of an environment variable belongs."""

    variable: str


# Members of request bodies that are credentials, and the variables that hold them.
_SECRET_MEMBERS: Final = {
    "registrationToken": Secret("RENSEI_WORKER_KEY"),
    "client_id": Secret("RENSEI_M2M_CLIENT_ID"),
    "client_secret": Secret("RENSEI_M2M_CLIENT_SECRET"),
}


class Answer(Enum):
    """What comes back when all goes well, as far as reading it differs."""

    JSON = auto()
    EVENTS = auto()
    FILE = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: a value with secrets in it, or a text as it is."""

    content_type: str
    value: Any

    @property
    def is_text(self) -> bool:
        """Whether the value goes on the wire as it stands."""
        return isinstance(self.value, str) and self.content_type != JSON


@dataclass(frozen=True, slots=True)
class Request:
    """One call. At most one of `bearer`, `cookie` and `signature` is there.

    `cookie` is the name of the cookie and its value; `signature` the header that carries the HMAC
    of the body, and the key.
    """

    name: str
    method: str
    url: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    bearer: Secret | None
    cookie: tuple[str, Secret] | None
    signature: tuple[str, Secret] | None
    body: Body | None
    answer: Answer


def request(operation: Operation, spec: Json, base_url: str) -> Request:
    """The call of an operation at `base_url`: what is required, with the contract's examples."""
    base_url = base_url.rstrip("/")
    scheme = _scheme(operation, spec)
    headers = {
        each.name: _text(each.example)
        for each in operation.parameters
        if each.place == "header" and each.required
    }
    bearer, cookie, signature = None, None, None
    match scheme.get("type"), scheme.get("in"):
        case None, _:
            pass
        case "apiKey", "cookie":
            cookie = (scheme["name"], Secret("RENSEI_SESSION"))
            if operation.method != "GET":
                # A change by cookie is refused unless it comes from the server's own pages.
                address = urlsplit(base_url)
                headers["Origin"] = f"{address.scheme}://{address.netloc}"
        case "apiKey", _:
            # The contract names one header; Linear's is the one whose secret every demo has.
            signature = (_LINEAR_SIGNATURE, Secret(_LINEAR_SECRET))
        case _:
            bearer = Secret(_key(operation))
    return Request(
        name=operation.id,
        method=operation.method,
        url=base_url + _path(operation),
        query=tuple(_query(operation)),
        headers=headers,
        bearer=bearer,
        cookie=cookie,
        signature=signature,
        body=_body(operation),
        answer=_answer(operation),
    )


def _scheme(operation: Operation, spec: Json) -> Json:
    name = operation.security[0] if operation.security else ""
    if not name:
        return {}
    found, _ = resolve(spec, spec["components"]["securitySchemes"][name])
    return found


def _key(operation: Operation) -> str:
    if operation.scope == "system":
        return "RENSEI_SYSTEM_KEY"
    if operation.kinds == (Kind.RUNTIME.value,):
        return "RENSEI_RUNTIME_TOKEN"
    if operation.kinds == (Kind.BATCH.value,):
        return "RENSEI_BATCH_TOKEN"
    takes_workers = operation.slug == _WORKER_TAG and Kind.PROJECT_KEY.value in operation.kinds
    return "RENSEI_WORKER_KEY" if takes_workers else "RENSEI_ORG_KEY"


def _path(operation: Operation) -> str:
    path = operation.path
    for each in operation.parameters:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", quote(_text(each.example), safe=""))
    return path


def _query(operation: Operation) -> list[tuple[str, str]]:
    return [
        (each.name, _text(each.example))
        for each in operation.parameters
        if each.place == "query" and (each.required or (operation.id, each.name) == ENDED_BY)
    ]


def _body(operation: Operation) -> Body | None:
    if operation.body is None or not operation.body.required:
        return None
    media = _media(operation.body.media)
    if media is None:
        return None
    example = {} if media.example is None else media.example
    if isinstance(example, Mapping):
        example = {name: _SECRET_MEMBERS.get(name, value) for name, value in example.items()}
    return Body(media.content_type, example)


def _media(offered: tuple[Media, ...]) -> Media | None:
    as_json = (each for each in offered if each.content_type == JSON)
    return next(as_json, next(iter(offered), None))


def _answer(operation: Operation) -> Answer:
    kinds = {
        each.content_type
        for response in operation.responses
        if response.status.startswith("2")
        for each in response.media
    }
    if not kinds:
        return Answer.NOTHING
    if kinds == {_STREAM}:
        return Answer.EVENTS
    return Answer.FILE if _GZIP in kinds else Answer.JSON


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
