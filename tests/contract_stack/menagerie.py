"""A small contract that uses every feature of the stack, with handlers that echo."""

import copy
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from contract import (
    BodyTooLarge,
    Contract,
    Malformed,
    MethodNotAllowed,
    NoSuchPath,
    NotJson,
    Request,
    UnsupportedMedia,
    build_app,
    load,
)

FILE = Path(__file__).with_name("menagerie.yaml")
CONTRACT = load(FILE)
DECIDED = frozenset(operation.id for operation in CONTRACT.operations)

TOKEN = "good-token"
KEY = "good-key"
SECRET = b"hook secret"

Handler = Callable[..., Awaitable[Any]]

STATUSES: dict[type[Exception], int] = {
    NoSuchPath: 404,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    UnsupportedMedia: 415,
    Malformed: 400,
    NotJson: 400,
}


class Unknown(Exception):
    """401: no credential, or a bad one."""


class Forbidden(Exception):
    """403: known, but not allowed."""


def refuse(error: Exception, request: Request) -> Response:
    """The menagerie's one table."""
    status = {**STATUSES, Unknown: 401, Forbidden: 403}.get(type(error), 500)
    text = "Internal server error" if status == 500 else str(error) or type(error).__name__
    return JSONResponse({"error": text}, status_code=status)


async def authenticate(request: Request, alternatives: tuple[str, ...]) -> Any:
    """Every credential that is shown must be good; only none at all is anonymous."""
    users: list[str] = []
    bearer = request.headers.get("authorization")
    if bearer is not None and "bearer" in alternatives:
        if not bearer.startswith("Bearer ") or bearer[7:] not in (TOKEN, "weak-token"):
            raise Unknown
        users.append("keeper" if bearer[7:] == TOKEN else "helper")
    key = request.headers.get("x-key")
    if key is not None and "key" in alternatives:
        if key != KEY:
            raise Unknown
        users.append("machine")
    signature = request.headers.get("x-signature")
    if signature is not None and "signature" in alternatives:
        wanted = hmac.new(SECRET, await request.body(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, signature):
            raise Unknown
        users.append("hook")
    if users:
        return users[0]
    if "" in alternatives:
        return "visitor"
    raise Unknown


def authorize(user: Any, operation_id: str) -> None:
    """A helper may look and nothing more."""
    if user == "helper" and not operation_id.startswith(("get", "list", "newest")):
        raise Forbidden


def echo(**got: Any) -> tuple[dict[str, Any], int]:
    """What a handler got, as its answer."""
    return {"got": got}, 200


async def list_animals(
    limit: int,
    q: str | None,
    born_after: str | None,
    ratio: float | None,
    wild: bool,
    kind: str | None,
    tag: list[str],
    ids: list[int] | None,
    x_keeper_name: str | None,
    cage: int | None,
    user: str,
) -> Any:
    return echo(**locals())


async def create_animal(body: dict[str, Any], user: str) -> Any:
    return {"got": {"body": body, "user": user}}, 201


async def get_animal(id_: str, user: str) -> Any:
    return echo(id_=id_, user=user)


async def change_animal(id_: str, body: Any) -> Any:
    return echo(id_=id_, body=body)


async def remove_animal(id_: str) -> Any:
    return None, 204


async def newest_animal() -> Any:
    return echo(newest=True)


async def newest_name() -> Any:
    return echo(name=True)


async def get_photo(animal_id: str, index: int) -> Any:
    return echo(animal_id=animal_id, index=index)


async def set_pedigree(id_: str, body: dict[str, Any]) -> Any:
    return echo(name=body["name"])


async def issue_m2m_token(body: dict[str, Any], user: Any) -> Any:
    return echo(body=body, user=user)


async def leave_note(body: dict[str, Any] | None) -> Any:
    return (None, 202) if body is None else echo(body=body)


async def hook_ingest(provider: str, body: dict[str, Any], request: Request, user: str) -> Any:
    return echo(provider=provider, body=body, raw=(await request.body()).decode(), user=user)


async def maybe_known(user: str) -> Any:
    return echo(user=user)


async def watch_animals() -> Any:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def get_keys(workspace_id: str) -> Any:
    return {"keys": [workspace_id]}, 200


async def answer_anything() -> Any:
    return {"bars": 3}, 200


async def refuse_always(reason: str) -> Any:
    raise Unknown if reason == "unknown" else RuntimeError(f"secret detail: {reason}")


HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (
        list_animals,
        create_animal,
        get_animal,
        change_animal,
        remove_animal,
        newest_animal,
        newest_name,
        get_photo,
        set_pedigree,
        issue_m2m_token,
        leave_note,
        hook_ingest,
        maybe_known,
        watch_animals,
        get_keys,
        answer_anything,
        refuse_always,
    )
}


def make_app(contract: Contract = CONTRACT, **changes: Any) -> Any:
    """The menagerie's application, with some of `build_app`'s arguments changed.

    `handlers` are laid over the menagerie's own.
    """
    handlers = {**HANDLERS, **changes.pop("handlers", {})}
    arguments: dict[str, Any] = {
        "authenticate": authenticate,
        "authorize": authorize,
        "decided": {operation.id for operation in contract.operations},
        "refuse": refuse,
    }
    return build_app(contract, handlers=handlers, **{**arguments, **changes})


def spec() -> dict[str, Any]:
    """The menagerie's contract as data that a test may damage."""
    return copy.deepcopy(CONTRACT.spec)


def animal(**changes: Any) -> dict[str, Any]:
    """A body that fits `createAnimal`, with some members changed; `...` removes one."""
    whole = {
        "name": "Ada",
        "kind": "cat",
        "legs": 4,
        "weight": 3.5,
        "born": "2024-02-29T12:00:00Z",
        "tame": True,
        "diet": {"eats": "meat", "prey": "bird"},
        "tags": ["soft"],
        "secret": "purrs",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}
