"""A curl sample for an operation, runnable in bash as it is printed.

Secrets come from the environment, never from the sample: a reader exports them once and every
sample of the reference works.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from pages.reference import Operation
from pages.samples.request import FORM, Answer, Body, Request, Secret, request
from pages.schemas import Json

_SHORT: Final = 72
"""A JSON body up to this length stays on one line."""


def sample(operation: Operation, spec: Json, url: str) -> str:
    """The lines a reader pastes into bash to call the operation at `url`."""
    made = request(operation, spec, url)
    body = "" if made.body is None else _body(made.body)
    target = made.url + (f"?{urlencode(made.query)}" if made.query else "")

    arguments = [shlex.quote(target)]
    arguments += [f"-H {each}" for each in _credential(made)]
    arguments += [f"-H {shlex.quote(f'{name}: {text}')}" for name, text in made.headers.items()]
    if made.body is not None:
        arguments.append(f"-H {shlex.quote(f'Content-Type: {made.body.content_type}')}")
        arguments.append('-d "$body"' if made.signature else f"-d {body}")
    if made.answer is Answer.FILE:
        arguments.append(f"--output {made.name}.gz")
    command = "curl" if made.method == "GET" else f"curl -X {made.method}"
    # A stream is shown as it comes.
    command += " -N" if made.answer is Answer.EVENTS else ""
    call = f"{command} " + " \\\n  ".join(arguments)
    return f"{_signature(made.signature[1], body)}\n{call}" if made.signature else call


def _credential(made: Request) -> Iterator[str]:
    if made.cookie is not None:
        name, secret = made.cookie
        yield f"'Cookie: {name}='\"${secret.variable}\""
    if made.signature is not None:
        yield f"'{made.signature[0]}: '\"$signature\""
    if made.bearer is not None:
        yield f"'Authorization: Bearer '\"${made.bearer.variable}\""


def _body(body: Body) -> str:
    if body.is_text:
        return shlex.quote(body.value)
    secrets: dict[str, Secret] = {}
    value = _marked(body.value, secrets)
    if body.content_type == FORM:
        text = urlencode(value)
    else:
        text = json.dumps(value, ensure_ascii=False)
        if len(text) > _SHORT:
            text = json.dumps(value, ensure_ascii=False, indent=2)
    # Always in quotes, which the variables below close and open again.
    quoted = "'" + text.replace("'", "'\"'\"'") + "'"
    for mark, secret in secrets.items():
        quoted = quoted.replace(mark, f"'\"${secret.variable}\"'")
    return quoted


def _marked(value: Any, secrets: dict[str, Secret]) -> Any:
    """The value with a mark in the place of each secret, that JSON and forms leave as it is."""
    if not isinstance(value, dict):
        return value
    marked = {}
    for name, each in value.items():
        if isinstance(each, Secret):
            mark = f"__{each.variable}__"
            secrets[mark] = each
            marked[name] = mark
        else:
            marked[name] = each
    return marked


def _signature(secret: Secret, body: str) -> str:
    # The same bytes are signed and sent, so they stand in one variable.
    return (
        f"body={body}\n"
        'signature=$(printf %s "$body" |\n'
        f'  openssl dgst -sha256 -hmac "${secret.variable}" -r | cut -d " " -f 1)'
    )
