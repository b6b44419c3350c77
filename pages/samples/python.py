"""A Python sample for an operation: a whole script for httpx, laid out as ruff does it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pages.reference import Operation
from pages.samples.layout import Group, Node, laid_out
from pages.samples.request import FORM, JSON, Answer, Body, Request, Secret, request
from pages.schemas import Json

_STEP: Final = "    "
_SHORTCUTS: Final = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
_WITHOUT_BODY: Final = {"DELETE", "GET", "HEAD", "OPTIONS"}
"""Methods whose shortcut in httpx takes no body."""


def sample(operation: Operation, spec: Json, url: str) -> str:
    """The script that calls the operation at `url` and prints what it answers."""
    made = request(operation, spec, url)
    lines = [*_prepared(made), *_called(made)]
    text = "\n".join(lines)
    standard = (name for name in ("hashlib", "hmac", "json", "os") if f"{name}." in text)
    imports = [f"import {name}" for name in standard]
    return "\n".join([*imports, *([""] if imports else []), "import httpx", "", text])


def _prepared(made: Request) -> Iterator[str]:
    if made.signature is None:
        return
    secret = _secret(made.signature[1])
    # The same bytes are signed and sent.
    if made.body is None or made.body.is_text:
        yield f"body = {_text('' if made.body is None else made.body.value)}.encode()"
    else:
        yield "event = " + laid_out(_literal(made.body.value), _STEP, before=len("event = "))
        yield "body = json.dumps(event).encode()"
    yield f"secret = {secret}.encode()"
    yield "signature = hmac.new(secret, body, hashlib.sha256).hexdigest()"


def _called(made: Request) -> Iterator[str]:
    arguments = list(_arguments(made))
    if made.answer in {Answer.EVENTS, Answer.FILE}:
        if made.answer is Answer.EVENTS:
            arguments.append(("timeout=", "None"))
        call = Group("httpx.stream(", [("", _text(made.method)), *arguments], ")")
        yield f"with {laid_out(call, _STEP, before=5, after=13)} as response:"
        yield f"{_STEP}response.raise_for_status()"
        yield from _EVENTS if made.answer is Answer.EVENTS else _file(made.name)
        return
    bodiless = made.method in _WITHOUT_BODY
    if made.method not in _SHORTCUTS or (bodiless and made.body is not None):
        call = Group("httpx.request(", [("", _text(made.method)), *arguments], ")")
    else:
        call = Group(f"httpx.{made.method.lower()}(", arguments, ")")
    yield "response = " + laid_out(call, _STEP, before=len("response = "))
    yield "response.raise_for_status()"
    shown = "status_code" if made.answer is Answer.NOTHING else "json()"
    yield f"print(response.{shown})"


_EVENTS: Final = (
    "    for line in response.iter_lines():",
    '        field, _, value = line.partition(": ")',
    '        if field == "data":',
    "            print(json.loads(value))",
)


def _file(name: str) -> Iterator[str]:
    yield f'    with open("{name}.gz", "wb") as file:'
    yield "        for chunk in response.iter_bytes():"
    yield "            file.write(chunk)"


def _arguments(made: Request) -> Iterator[tuple[str, Node]]:
    yield "", _text(made.url)
    if made.query:
        yield "params=", _dict(dict(made.query))
    headers: dict[str, Node] = {}
    if made.bearer is not None:
        headers["Authorization"] = f"f\"Bearer {{os.environ['{made.bearer.variable}']}}\""
    if made.signature is not None:
        headers[made.signature[0]] = "signature"
    headers |= {name: _text(text) for name, text in made.headers.items()}
    if made.body is not None and _names_its_type(made):
        headers["Content-Type"] = _text(made.body.content_type)
    if headers:
        items = [(f"{_text(name)}: ", each) for name, each in headers.items()]
        yield "headers=", Group("{", items, "}")
    if made.cookie is not None:
        name, secret = made.cookie
        yield "cookies=", Group("{", [(f"{_text(name)}: ", _secret(secret))], "}")
    if made.signature is not None:
        yield "content=", "body"
    elif made.body is not None:
        yield _content(made.body)


def _names_its_type(made: Request) -> bool:
    """Whether httpx cannot tell the type of the body from how it is given."""
    return made.body is not None and (
        made.signature is not None
        or made.body.is_text
        or made.body.content_type not in {JSON, FORM}
    )


def _content(body: Body) -> tuple[str, Node]:
    if body.is_text:
        return "content=", _text(body.value)
    if body.content_type == FORM:
        return "data=", _literal(body.value)
    if body.content_type == JSON:
        return "json=", _literal(body.value)
    return "content=", Group("json.dumps(", [("", _literal(body.value))], ")")


def _dict(value: Mapping[str, Any]) -> Group:
    return Group("{", [(f"{_text(name)}: ", _literal(each)) for name, each in value.items()], "}")


def _literal(value: Any) -> Node:
    match value:
        case Secret():
            return _secret(value)
        case str():
            return _text(value)
        case Mapping():
            return _dict(value)
        case list():
            return Group("[", [("", _literal(each)) for each in value], "]")
        case _:
            # None, a truth value or a number.
            return repr(value)


def _secret(secret: Secret) -> str:
    return f'os.environ["{secret.variable}"]'


def _text(text: str) -> str:
    """A string in double quotes, whatever stands in it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in quoted)
