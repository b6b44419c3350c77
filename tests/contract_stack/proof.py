"""The proof that our stack answers as Connexion's own does, but for named differences.

`python -m tests.contract_stack.proof 5000` prints what was compared and what differed.
"""

import asyncio
import inspect
import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response

from contract import (
    BodyTooLarge,
    Contract,
    Malformed,
    MethodNotAllowed,
    NoSuchPath,
    NotJson,
    Operation,
    Request,
    UnsupportedMedia,
    build_app,
    load,
    snake,
)
from contract.handlers import Handler
from contract.names import argument_name
from contract.references import resolved
from tests.contract_stack.differences import DIFFERENCES, neutral
from tests.contract_stack.generation import Case, Generator
from tests.contract_stack.stock import stock_app

MENAGERIE: Final = Path(__file__).with_name("menagerie.yaml")
RENSEI: Final = Path(__file__).parents[2] / "openapi" / "rensei-api.yaml"
SEED: Final = 20260131

_COMPARED_HEADERS: Final = ("content-type", "allow", "connection", "location", "www-authenticate")
_STATUSES: Final = {
    NoSuchPath: 404,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    UnsupportedMedia: 415,
    Malformed: 400,
    NotJson: 400,
}


class Unknown(Exception):
    """401."""


@dataclass
class Outcome:
    """What came of a case: the answer, and what the handler was called with."""

    status: int | str
    headers: Mapping[str, str]
    body: Any
    calls: tuple[Any, ...]


@dataclass
class Report:
    """What was compared, what differed and why, and what nobody can explain."""

    cases: int = 0
    statuses: Counter[Any] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[tuple[Case, Outcome, Outcome]] = field(default_factory=list)

    def text(self) -> str:
        """The summary table."""
        lines = [f"{self.cases} cases; our statuses: {dict(sorted(self.statuses.items()))}"]
        for name, count in self.explained.most_common():
            lines.append(f"{count:6} {name}: {DIFFERENCES[name].why}")
        lines += [describe(*each) for each in self.unexplained[:10]]
        lines.append(f"{len(self.unexplained)} differences unexplained")
        return "\n".join(lines)


def describe(case: Case, ours: Outcome, stock: Outcome) -> str:
    """An unexplained difference, for the one who has to explain it."""
    request = f"{case.method} {case.path}?{case.query} {case.headers} {case.body[:500]!r}"
    return f"UNEXPLAINED [{case.twist}] {request}\n  ours  {ours}\n  stock {stock}"


async def prove(
    contract: Contract, count: int, seed: int = SEED, *, served: Contract | None = None
) -> Report:
    """Send so many cases to both stacks and compare every outcome.

    Ours serves `contract` too, unless another is given as `served`.
    """
    # Both stacks log each accident on the way to answering it.
    logging.disable(logging.CRITICAL)
    try:
        return await _prove(neutral(contract), neutral(served or contract), count, seed)
    finally:
        logging.disable(logging.NOTSET)


async def _prove(contract: Contract, served: Contract, count: int, seed: int) -> Report:
    calls: list[Any] = []
    generator = Generator(contract, seed)
    handlers = {o.id: _recorder(contract, o, generator, calls) for o in contract.operations}
    ours = _our_app(served, handlers)
    stock = stock_app(contract, handlers)
    report = Report()
    for case in generator.cases(count):
        mine = await _send(ours, case, calls)
        theirs = await _send(stock, case, calls)
        report.cases += 1
        report.statuses[mine.status] += 1
        if mine == theirs:
            continue
        name = _explanation(case, mine, theirs)
        if name is None:
            report.unexplained.append((case, mine, theirs))
        else:
            report.explained[name] += 1
    return report


def _explanation(case: Case, ours: Outcome, stock: Outcome) -> str | None:
    for name, difference in DIFFERENCES.items():
        if difference.explains(case, ours, stock):
            return name
    return None


def _our_app(contract: Contract, handlers: Mapping[str, Handler]) -> Any:
    schemes = contract.spec.get("components", {}).get("securitySchemes", {})

    async def authenticate(request: Request, alternatives: tuple[str, ...]) -> str | None:
        shown = {
            name: word
            for name in alternatives
            if name and (word := _credential(request, schemes[name])) is not None
        }
        if any(word != "good" for word in shown.values()):
            raise Unknown
        if not shown and "" not in alternatives:
            raise Unknown
        return "somebody" if shown else None

    return build_app(
        contract,
        handlers={snake(operation_id): each for operation_id, each in handlers.items()},
        authenticate=authenticate,
        authorize=lambda user, operation_id: None,
        decided=set(handlers),
        refuse=_refuse,
    )


def _credential(request: Request, scheme: Mapping[str, str]) -> str | None:
    if scheme["type"] != "apiKey":
        return (request.headers.get("authorization") or "").removeprefix("Bearer ") or None
    if scheme["in"] == "cookie":
        return request.cookies.get(scheme["name"])
    if scheme["in"] == "query":
        return request.query_params.get(scheme["name"])
    return request.headers.get(scheme["name"])


def _refuse(error: Exception, request: Request) -> Response:
    status = {**_STATUSES, Unknown: 401}.get(type(error), 500)
    text = "Internal server error" if status == 500 else str(error) or type(error).__name__
    return JSONResponse({"error": text}, status_code=status)


def _recorder(
    contract: Contract, operation: Operation, generator: Generator, calls: list[Any]
) -> Handler:
    """A handler that notes its arguments and answers a valid example."""
    names = [
        argument_name(each["name"])
        for each in operation.parameters
        if each["in"] in ("path", "query")
    ]
    names += ["body"] * ("requestBody" in operation.raw) + ["user"]
    answer = _example(contract, operation, generator)

    async def handler(**given: Any) -> Any:
        calls.append({**dict.fromkeys(names), **given})
        return answer

    one = inspect.Parameter
    required = {argument_name(p["name"]) for p in operation.parameters if p["in"] == "path"}
    handler.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one(n, one.KEYWORD_ONLY, default=one.empty if n in required else None) for n in names]
    )
    return handler


def _example(contract: Contract, operation: Operation, generator: Generator) -> Any:
    status, raw = next(
        ((int(s), r) for s, r in operation.raw["responses"].items() if s.isdigit() and s[0] == "2"),
        (200, None),
    )
    if raw is None:
        raw = operation.raw["responses"]["default"]
    content = resolved(contract.spec, raw).get("content")
    if not content:
        return None, status
    media = "application/json" if "application/json" in content else next(iter(content))
    headers = {"Content-Type": media}
    for name, header in resolved(contract.spec, raw).get("headers", {}).items():
        if resolved(contract.spec, header).get("required"):
            headers[name] = '"1"'
    if "json" not in media:
        return "text", status, headers
    found = content[media]
    schema = found.get("schema", {})
    return generator.value(schema, direction="writeOnly"), status, headers


async def _send(app: Any, case: Case, calls: list[Any]) -> Outcome:
    calls.clear()
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in case.headers]
    headers.append((b"host", b"proof"))
    parts = [case.body]
    if case.chunked:
        parts = [case.body[:3], case.body[3:]]
        headers.append((b"transfer-encoding", b"chunked"))
    elif case.body or case.method in ("POST", "PUT", "PATCH"):
        headers.append((b"content-length", str(len(case.body)).encode()))
    query = case.query.replace("MARK", "%FF").encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": case.method,
        "scheme": "http",
        "path": unquote(case.path),
        "raw_path": case.path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("proof", 80),
    }
    messages = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception as error:
        return Outcome(f"crash: {type(error).__name__}", {}, None, tuple(calls))
    start = sent[0]
    got = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    raw = b"".join(message.get("body", b"") for message in sent[1:])
    kept = {name: got[name].split(";")[0] for name in _COMPARED_HEADERS if name in got}
    body: Any = raw
    if "json" in kept.get("content-type", "") and raw:
        body = json.loads(raw)
    return Outcome(start["status"], kept, body, tuple(calls))


def main() -> int:
    """Prove both contracts with so many cases each; 1 when a difference is unexplained."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    unexplained = 0
    for file in (MENAGERIE, RENSEI):
        if file.exists():
            report = asyncio.run(prove(load(file), count))
            unexplained += len(report.unexplained)
            print(f"{file.name}: {report.text()}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
