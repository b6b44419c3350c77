"""Judge a running server against the contract: `python scripts/judge.py --base-url … --key …`.

Asks every operation what it must refuse, then lets Schemathesis make up requests with the given
key. Prints what it finds and exits 1, or says that it found nothing and exits 0; 2 when it could
not judge. It ends by itself.

It harms nothing it did not make: operations that change or claim things are called only about
things that this run made, and otherwise about ids that exist nowhere. What it made it removes
where the contract has an operation for that, and names the rest.
"""

import argparse
import http.client
import json
import re
import signal
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

# Started as a file, Python looks beside it and not in the root, where the project is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import schemathesis
import schemathesis.cli
from schemathesis.core.failures import Failure, ServerError

from contract import Contract, Operation, load
from contract.references import resolved

ROOT: Final = Path(__file__).resolve().parent.parent
CONTRACT: Final = ROOT / "openapi" / "rensei-api.yaml"

EXAMPLES: Final = 10
MOST_SECONDS: Final = 600
FINISHED: Final = "completed"
"""What Schemathesis calls the reason for stopping when there was none. An interrupted run calls
itself complete all the same."""
PATIENCE_SECONDS: Final = 30
BODY_LIMIT: Final = 1_048_576
DEEP: Final = 50_000

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CLAIMS: Final = frozenset({"workerPoll"})
"""Reads by their method that change something: real work would go to a worker that does none."""

CONTAINER: Final = "orgId"
"""The path parameter under which things are made, and which is not itself the thing."""

MAKERS: Final[Mapping[str, tuple[str, str]]] = {
    "mintApiKey": ("keyId", "key.id"),
    "createM2MClient": ("clientId", "client.clientId"),
    "createWorkspaceMapping": ("mappingId", "mapping.id"),
    "createOrganization": ("orgId", "organization.id"),
    "workersRegister": ("id", "workerId"),
}
"""operationId -> the path parameter that what it makes goes by, and where the answer tells it.
Whatever is not named here is made by somebody else, and left alone."""

STREAMED: Final = {"id", "sessionId"}
"""Parameters that name what a stream of events is about."""
LONGEST_WAIT_SECONDS: Final = 25
NOWHERE: Final = "f" * 16
"""An id that names nothing, and that the pattern of every id allows."""

TOLD_TO_WAIT: Final = re.compile(r"\bgot `?429\b", re.IGNORECASE)
"""Schemathesis' words for a bad credential that was refused with 429: whoever fails too often is
told to wait."""

WHO_AM_I: Final = "/api/cli/whoami"
"""Asked once with the key, so that a mistyped one does not cost the minutes of a whole run."""

JSON: Final = {"Content-Type": "application/json"}

Case = schemathesis.Case[Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def refusal(self) -> str | None:
        """The text of the refusal; None when the body is not the contract's envelope."""
        told = self._told()
        text = told.get("error")
        known = {"error", "message", "error_description"}
        return text if isinstance(text, str) and text and told.keys() <= known else None

    @property
    def json_rpc_error(self) -> str | None:
        """The text of the refusal as JSON-RPC tells it; None when the body is no such error."""
        told = self._told()
        error = told.get("error")
        if told.get("jsonrpc") != "2.0" or not isinstance(error, dict) or "result" in told:
            return None
        code, text = error.get("code"), error.get("message")
        return text if isinstance(code, int) and isinstance(text, str) and text else None

    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}


class Server:
    """The server to judge, spoken to without a library that would mend the requests."""

    def __init__(self, base_url: str, key: str) -> None:
        parts = urlsplit(base_url)
        self.base_url = base_url.rstrip("/")
        self._place = (parts.hostname or "127.0.0.1", parts.port)
        self._prefix = parts.path.rstrip("/")
        self._is_tls = parts.scheme == "https"
        self.bearer = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        announced: int | None = None,
    ) -> Answer:
        """Send one request; `announced` is a body's length when the body itself stays here."""
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(*self._place, timeout=PATIENCE_SECONDS)
        try:
            connection.putrequest(method, self._prefix + path)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None or announced is not None:
                length = len(body or b"") if announced is None else announced
                connection.putheader("Content-Length", str(length))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


@dataclass
class Report:
    """What was asked and what was found."""

    asked: int = 0
    out_of_reach: int = 0
    findings: list[str] = field(default_factory=list)
    not_set_up: set[str] = field(default_factory=set)
    """What the server said it could not serve as it is set up, and so could not be judged."""

    def expect(
        self, what: str, answer: Answer, *statuses: int, may_be_json_rpc: bool = False
    ) -> None:
        """Note a refusal that has another status or another form."""
        self.asked += 1
        wanted = " or ".join(map(str, statuses))
        text = answer.refusal or (answer.json_rpc_error if may_be_json_rpc else None)
        if answer.status not in statuses:
            self.findings.append(f"{what}: {answer.status} where {wanted} belongs")
        elif text is None:
            self.findings.append(f'{what}: {answer.status} without {{"error": "…"}}')
        elif b"Traceback" in answer.body:
            self.findings.append(f"{what}: {answer.status} with a traceback")


def knows_key(server: Server) -> bool:
    """Whether the key is one that the server knows, whatever it allows."""
    return server.ask("GET", WHO_AM_I, server.bearer).status != http.client.UNAUTHORIZED


# --- the refusals ---


def judge_refusals(server: Server, contract: Contract, report: Report) -> None:
    """Ask for everything that must be refused, about nothing that exists."""
    for operation in contract.operations:
        name, path = f"{operation.method} {operation.path}", concrete(operation)
        _credentials(server, operation, name, path, report)
        if "requestBody" in operation.raw:
            _bodies(server, contract, operation, name, path, report)
    by_path: dict[str, list[Operation]] = {}
    for operation in contract.operations:
        by_path.setdefault(operation.path, []).append(operation)
    for path, operations in by_path.items():
        _methods(server, path, operations, report)
    for path in ("/api/nowhere", "/nowhere", "/api", "/api/%00", "/api/../../etc/passwd"):
        report.expect(f"GET {path}", server.ask("GET", path, server.bearer), 400, 404)


def concrete(operation: Operation) -> str:
    """The operation's path about a thing that exists nowhere."""
    path, query = operation.path, {}
    for parameter in operation.parameters:
        value = str(parameter["schema"].get("enum", [NOWHERE])[0])
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif parameter["in"] == "query" and parameter.get("required"):
            query[parameter["name"]] = value
    return f"{path}?{urlencode(query)}" if query else path


def _credentials(
    server: Server, operation: Operation, name: str, path: str, report: Report
) -> None:
    if not operation.security:
        return
    # Whoever fails too often is told to wait, which is a refusal as well.
    for what, headers in _bad_credentials():
        answer = server.ask(operation.method, path, headers)
        report.expect(f"{name} with {what}", answer, 401, 429)
    answer = server.ask(operation.method, "/" + path)
    report.expect(f"{name} as /{path} with no credential", answer, 401, 429)


def _bad_credentials() -> Iterator[tuple[str, dict[str, str]]]:
    header, claims = {"alg": "none", "typ": "runtime+jwt"}, {"sub": "wkr", "exp": 99_999_999_999}
    forged = ".".join(
        urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode()
        for each in (header, claims)
    )
    yield "no credential", {}
    yield "a forged token", {"Authorization": f"Bearer {forged}."}
    yield "an unknown key", {"Authorization": "Bearer rsk_live_" + "0" * 64}
    yield "half a credential", {"Authorization": "Bearer"}
    yield "another scheme", {"Authorization": "Basic cnNrOg=="}


def _bodies(
    server: Server,
    contract: Contract,
    operation: Operation,
    name: str,
    path: str,
    report: Report,
) -> None:
    body = resolved(contract.spec, operation.raw["requestBody"])
    limit = operation.raw.get("x-max-body-bytes", BODY_LIMIT)
    deep = b"[" * DEEP + b"]" * DEEP
    cases: list[tuple[str, dict[str, str], bytes, int | None, int]] = [
        ("a body over the limit", JSON, b"", limit + 1, 413),
        ("text/plain", {"Content-Type": "text/plain"}, b"{}", None, 415),
        ("no content type", {}, b"{}", None, 415),
        ("a body that is not UTF-8", JSON, b'{"name": "\xff\xfe"}', None, 400),
        ("NaN", JSON, b'{"name": NaN}', None, 400),
        ("half a body", JSON, b'{"name": ', None, 400),
        ("NUL", JSON, b'{"name": "a\\u0000"}', None, 400),
        ("deep nesting", JSON, b'{"name": ' + deep + b"}", None, 400),
        ("an array", JSON, b"[]", None, 400),
    ]
    if body.get("required"):
        cases.append(("an empty body", JSON, b"", None, 400))
    may_be_json_rpc = _refuses_by_json_rpc(contract, operation)
    for what, headers, content, announced, status in cases:
        answer = server.ask(
            operation.method, path, {**server.bearer, **headers}, content, announced=announced
        )
        if operation.security and answer.status in {401, 403, 429} and answer.refusal:
            # The credential comes before the body, and this key is not one for it.
            report.out_of_reach += 1
            continue
        report.expect(f"{name} with {what}", answer, status, may_be_json_rpc=may_be_json_rpc)


def _refuses_by_json_rpc(contract: Contract, operation: Operation) -> bool:
    """Whether the contract lets a bad body be refused by an error of JSON-RPC."""
    response = resolved(contract.spec, operation.raw["responses"].get("400", {}))
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    schema = resolved(contract.spec, schema)
    forms = [schema, *(resolved(contract.spec, each) for each in schema.get("oneOf", ()))]
    return any("jsonrpc" in form.get("properties", {}) for form in forms)


def _methods(server: Server, path: str, operations: list[Operation], report: Report) -> None:
    known = {operation.method for operation in operations}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        if method in known:
            continue
        answer = server.ask(method, concrete(operations[0]))
        report.expect(f"{method} {path}", answer, 405)
        allow = {name.lower(): value for name, value in answer.headers.items()}.get("allow", "")
        if answer.status == 405 and {each.strip() for each in allow.split(",")} != known:
            report.findings.append(f"{method} {path}: Allow is {allow!r}, not {sorted(known)}")


# --- the made-up requests ---


def _is_stream(operation: Operation) -> bool:
    """Whether the answer goes on for as long as the thing that it is about."""
    return any(
        "text/event-stream" in response.get("content", {})
        for response in operation.raw["responses"].values()
    )


def _is_long(wait: Any) -> bool:
    """Whether a wait fits the contract, so that the server would take it."""
    try:
        return 0 < float(wait) <= LONGEST_WAIT_SECONDS
    except (TypeError, ValueError):
        return False


def could_not_serve(operation: Operation, answer: Answer) -> str | None:
    """The text of a 503 that the contract names and words: something is not set up, or away."""
    if answer.status != http.client.SERVICE_UNAVAILABLE or "503" not in operation.raw["responses"]:
        return None
    return answer.refusal


class Guard:
    """Sees to it that made-up requests harm nothing that this run did not make."""

    def __init__(self) -> None:
        # Path parameter -> id -> the operation that made it and where.
        self.made: dict[str, dict[str, tuple[str, dict[str, str]]]] = {}
        self.created = Counter[str]()
        self.removed = Counter[str]()

    def steer(self, operation: Operation, case: Case) -> None:
        """Lead a request away from things of others, and from answers that have no end."""
        if _is_stream(operation):
            for given in (case.path_parameters, case.query):
                given.update({name: NOWHERE for name in given if name in STREAMED})
            if any(each["name"] == "waitSeconds" for each in operation.parameters):
                case.query.setdefault("waitSeconds", 0)
        if case.query and _is_long(case.query.get("waitSeconds")):
            case.query["waitSeconds"] = 0
        body: dict[str, Any] = case.body if isinstance(case.body, dict) else {}
        # Not the operation's method: some cases try one that the contract does not have.
        if case.method not in SAFE or operation.id in CLAIMS:
            self._steer_path(operation, case)
            if isinstance(body.get("workerId"), str):
                body["workerId"] = self._own("id", body["workerId"])
        # A machine does what it is told: nobody's is told anything.
        if isinstance(body.get("workerHostId"), str):
            body["workerHostId"] = NOWHERE
        # A machine that registers anew retires its older worker, and a workspace that is mapped
        # sends its events: neither may be one that exists.
        for member in ("machineId", "workspaceId"):
            if isinstance(body.get(member), str) and body[member]:
                body[member] = ("judge-" + body[member])[:200]

    def _steer_path(self, operation: Operation, case: Case) -> None:
        for parameter in operation.parameters:
            name = parameter["name"]
            if parameter["in"] != "path" or "enum" in parameter["schema"]:
                continue
            if name == CONTAINER and (case.method == "POST" or _names_more(operation)):
                continue
            value = case.path_parameters.get(name)
            # Nobody's work is claimed, not even for a worker of this run.
            made = "" if operation.id in CLAIMS else self._own(name, str(value))
            case.path_parameters[name] = made or NOWHERE

    def _own(self, name: str, value: str) -> str:
        return value if value in self.made.get(name, ()) else NOWHERE

    def note(self, operation: Operation, case: Case, response: schemathesis.Response) -> None:
        """Remember what a request has made or removed."""
        if case.method == "DELETE" and response.status_code == http.client.OK:
            name = operation.path.rpartition("/")[2].strip("{}")
            maker, _ = self.made.get(name, {}).pop(str(case.path_parameters.get(name)), ("", {}))
            self.removed[maker] += bool(maker)
        if response.status_code != http.client.CREATED:
            return
        self.created[operation.id] += 1
        if operation.id in MAKERS:
            name, place = MAKERS[operation.id]
            found: Any = response.json()
            for step in place.split("."):
                found = found.get(step) if isinstance(found, dict) else None
            if isinstance(found, str):
                where = {each: str(value) for each, value in case.path_parameters.items()}
                self.made.setdefault(name, {})[found] = (operation.id, where)

    def remove(self, server: Server, contract: Contract) -> None:
        """Remove what is left of what was made, as far as the contract has an operation for it."""
        for operation in contract.operations:
            name = operation.path.rpartition("/")[2].strip("{}")
            if operation.method != "DELETE" or name not in self.made:
                continue
            for made, (maker, where) in self.made[name].items():
                path = operation.path
                for each, value in {**where, name: made}.items():
                    path = path.replace(f"{{{each}}}", quote(value, safe=""))
                answer = server.ask("DELETE", path, server.bearer)
                self.removed[maker] += answer.status == http.client.OK


def _names_more(operation: Operation) -> bool:
    """Whether a path goes on from its organization to a thing in it."""
    return operation.path.count("{") > 1


def judge_by_schemathesis(
    server: Server,
    contract: Contract,
    guard: Guard,
    report: Report,
    examples: int,
    seed: int,
    seconds: int,
) -> dict[str, Any]:
    """Run Schemathesis under the guard; its report."""
    by_id = {operation.id: operation for operation in contract.operations}

    def operation_of(case: Case) -> Operation:
        return by_id[case.operation.definition.raw["operationId"]]

    @schemathesis.auth(refresh_interval=None)
    class Key:
        """The key that is judged with, wherever a credential is asked for."""

        def get(self, case: Case, _: schemathesis.AuthContext) -> str | None:
            return server.bearer.get("Authorization") if operation_of(case).security else None

        def set(self, case: Case, data: str, _: schemathesis.AuthContext) -> None:
            case.headers["Authorization"] = data

    @schemathesis.hook
    def before_call(context: schemathesis.HookContext, case: Case, kwargs: dict[str, Any]) -> None:
        guard.steer(operation_of(case), case)

    @schemathesis.hook
    def after_call(
        context: schemathesis.HookContext,
        case: Case,
        response: schemathesis.Response,
    ) -> None:
        guard.note(operation_of(case), case, response)

    @schemathesis.hook
    def filter_failure(
        context: schemathesis.HookContext,
        failure: Failure,
        case: Case,
        response: schemathesis.Response,
    ) -> bool:
        if isinstance(failure, ServerError):
            operation = operation_of(case)
            answer = Answer(response.status_code, {}, response.content)
            if why := could_not_serve(operation, answer):
                report.not_set_up.add(f"{operation.method} {operation.path}: {why}")
                return False
        return not TOLD_TO_WAIT.search(failure.message)

    # Schemathesis ends at an interrupt as at its own end, and still reports.
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        with suppress(SystemExit):
            schemathesis.cli.schemathesis.main(
                args=[
                    *("--config-file", str(ROOT / "schemathesis.toml")),
                    *("run", str(CONTRACT), "--url", server.base_url),
                    *("--max-examples", str(examples), "--seed", str(seed), "--no-color"),
                    *("--request-timeout", str(PATIENCE_SECONDS)),
                    *("--report", "json", "--report-json-path", str(path)),
                ],
                prog_name="schemathesis",
                standalone_mode=False,
            )
        signal.alarm(0)
        return dict(json.loads(path.read_text())) if path.exists() else {}


# --- the command ---


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers its exit status."""
    parser = argparse.ArgumentParser(description="Judge a running server against the contract.")
    parser.add_argument("--base-url", required=True, help="where it serves")
    parser.add_argument("--key", default="", help="an API key; without one only refusals are seen")
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, help="made-up requests per operation and phase"
    )
    parser.add_argument(
        "--seconds", type=int, default=MOST_SECONDS, help="the most that made-up requests may take"
    )
    parser.add_argument("--seed", type=int, default=3, help="the same seed, the same requests")
    given = parser.parse_args(arguments)
    contract, server, report = load(CONTRACT), Server(given.base_url, given.key), Report()
    print(
        f"judging {server.base_url} by {len(contract.operations)} operations; "
        f"it takes some minutes, at most {given.seconds} seconds with made-up requests",
        flush=True,
    )
    try:
        if given.key and not knows_key(server):
            print(f"{server.base_url} does not know this key (401); give one of its own as --key")
            return 2
        if not given.key:
            print("no key was given: what lies behind a credential is judged by its refusals alone")
        judge_refusals(server, contract, report)
    except (OSError, http.client.HTTPException) as error:
        print(f"{server.base_url} does not answer ({error}); start it, or correct --base-url")
        return 2
    print(
        f"refusals: {report.asked} asked, {report.out_of_reach} out of this key's reach, "
        f"{len(report.findings)} findings",
        flush=True,
    )
    guard = Guard()
    run = judge_by_schemathesis(
        server, contract, guard, report, given.examples, given.seed, given.seconds
    )
    guard.remove(server, contract)
    if not run:
        print("Schemathesis did not get to its end; its output above says why")
        return 2
    report.findings += [
        f"Schemathesis: {each['title']} in {', '.join(each['operations'])}"
        for each in [*run["failures"], *run["errors"]]
    ]
    if run["stop_reason"] != FINISHED:
        tested, total = run["operations"]["tested"], run["operations"]["total"]
        report.findings.append(
            f"Schemathesis: cut short ({run['stop_reason']}) with {tested} of {total} operations "
            f"begun; it had {given.seconds} seconds, --seconds gives it more"
        )
    print(
        f"\njudged {run['operations']['tested']} operations: {report.asked} refusals and "
        f"{run['test_cases']['generated']} made-up requests, {len(report.findings)} findings"
    )
    left = guard.created - guard.removed
    print(f"removed again: {_listed(guard.removed)}; left behind: {_listed(left)}")
    for each in sorted(report.not_set_up):
        print(f"not judged, since it is not set up there: {each}")
    for finding in report.findings:
        print(f"- {finding}")
    return 1 if report.findings else 0


def _listed(made: Counter[str]) -> str:
    return ", ".join(f"{count} of {maker}" for maker, count in made.items() if count) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
