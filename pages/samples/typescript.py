"""A TypeScript sample for an operation: a whole script for fetch, that Node runs as it is."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from pages.reference import Operation
from pages.samples.layout import WIDTH, Group, Node, laid_out
from pages.samples.request import FORM, Answer, Body, Request, Secret, request
from pages.schemas import Json

_STEP: Final = "  "
_OPENS: Final = ", {"
"""What ends the line on which the options of a call begin."""

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def sample(operation: Operation, spec: Json, url: str) -> str:
    """The script that calls the operation at `url` and prints what it answers."""
    made = request(operation, spec, url)
    imports = []
    if made.signature is not None:
        imports.append('import { createHmac } from "node:crypto";')
    if made.answer is Answer.FILE:
        imports.append('import { writeFile } from "node:fs/promises";')
    return "\n".join([*imports, *([""] if imports else []), *_prepared(made), *_called(made)])


def _prepared(made: Request) -> Iterator[str]:
    if made.signature is None:
        return
    # The same text is signed and sent.
    body = '""' if made.body is None else _content(made.body)
    yield f"const body = {laid_out(body, _STEP, before=len('const body = '), after=1)};"
    yield f'const signature = createHmac("sha256", {_secret(made.signature[1])} ?? "")'
    yield f"{_STEP}.update(body)"
    yield f'{_STEP}.digest("hex");'


def _called(made: Request) -> Iterator[str]:
    target = _text(made.url + (f"?{urlencode(made.query)}" if made.query else ""))
    options = list(_options(made))
    head = f"const response = await fetch({target}"
    if len(head) + len(_OPENS) > WIDTH:
        yield f"const url =\n{_STEP}{target};"
        head = "const response = await fetch(url"
    if options:
        group = Group("{", options, "}", pad=" ")
        head += ", " + laid_out(group, _STEP, before=len(head) + 2, after=2)
    yield f"{head});"
    needs_body = made.answer in {Answer.EVENTS, Answer.FILE}
    yield "if (!response.ok || !response.body) {" if needs_body else "if (!response.ok) {"
    yield "  throw new Error(`${response.status} ${await response.text()}`);"
    yield "}"
    match made.answer:
        case Answer.EVENTS:
            yield from _EVENTS
        case Answer.FILE:
            yield f'await writeFile("{made.name}.gz", response.body);'
        case Answer.NOTHING:
            yield "console.log(response.status);"
        case Answer.JSON:
            yield "console.log(await response.json());"


_EVENTS: Final = (
    'let rest = "";',
    "for await (const text of response.body.pipeThrough(new TextDecoderStream())) {",
    '  const lines = (rest + text).split("\\n");',
    '  rest = lines.pop() ?? "";',
    "  for (const line of lines) {",
    '    if (line.startsWith("data: ")) console.log(JSON.parse(line.slice(6)));',
    "  }",
    "}",
)


def _options(made: Request) -> Iterator[tuple[str, Node]]:
    if made.method != "GET":
        yield "method: ", _text(made.method)
    headers: dict[str, str] = {}
    if made.bearer is not None:
        headers["Authorization"] = f"`Bearer ${{{_secret(made.bearer)}}}`"
    if made.cookie is not None:
        name, secret = made.cookie
        headers["Cookie"] = f"`{name}=${{{_secret(secret)}}}`"
    if made.signature is not None:
        headers[made.signature[0]] = "signature"
    headers |= {name: _text(text) for name, text in made.headers.items()}
    # fetch tells by itself that it sends a form.
    if made.body is not None and (made.body.is_text or made.body.content_type != FORM):
        headers["Content-Type"] = _text(made.body.content_type)
    if headers:
        items = [(f"{_key(name)}: ", each) for name, each in headers.items()]
        yield "headers: ", Group("{", items, "}", pad=" ")
    if made.signature is not None:
        # The member and the variable have one name.
        yield "", "body"
    elif made.body is not None:
        yield "body: ", _content(made.body)


def _content(body: Body) -> Node:
    if body.is_text:
        return _text(body.value)
    function = "new URLSearchParams" if body.content_type == FORM else "JSON.stringify"
    inside = _literal(body.value)
    if isinstance(inside, str):
        return f"{function}({inside})"
    return Group(f"{function}({inside.opening}", inside.items, f"{inside.closing})", pad=inside.pad)


def _literal(value: Any) -> Node:
    match value:
        case Secret():
            return _secret(value)
        case str():
            return _text(value)
        case Mapping():
            items = [(f"{_key(name)}: ", _literal(each)) for name, each in value.items()]
            return Group("{", items, "}", pad=" ")
        case list():
            return Group("[", [("", _literal(each)) for each in value], "]")
        case _:
            return json.dumps(value)


def _key(name: str) -> str:
    if name == "__proto__":
        # Without the brackets it would not become a member.
        return '["__proto__"]'
    return name if _NAME.match(name) else _text(name)


def _secret(secret: Secret) -> str:
    return f"process.env.{secret.variable}"


def _text(text: str) -> str:
    """A string in double quotes, whatever stands in it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\u{{{ord(each):x}}}" for each in quoted)
