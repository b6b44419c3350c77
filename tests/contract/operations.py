"""Every operation of the contract, and its example turned into a request about real things."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from auth.scopes import PUBLIC, RULES, Rule
from contract import Operation
from contract.references import resolved
from domain.principal import Kind
from pages.samples import ENDED_BY
from tests.spec import CONTRACT

OPERATIONS: Final = CONTRACT.operations

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# What the contract's examples speak of. Wherever one of these stands in a path or a body, the
# tests put the thing of their own organization that plays its part.
EXAMPLE: Final[Mapping[str, str]] = {
    "organization": "org_demo",
    "project": "proj_demo",
    "worker": "wkr_a07c55e1d9b34c28",
    "daemon": "wkr_3e91b0c27a5d48f6",
    "session": "7f0c3a52-9d1e-4b7e-8a61-0b2f6a1d4c90",
    "public_session": "e55f6a1f79dd4a85",
    "agent_session": "sess_31",
    "waiting_session": "3c5d9a70-41f2-4e6b-b0a8-52d7e9f1c684",
    "finished_session": "0b1f6c2e-58c4-4f0e-9b1d-6a8f1c2d3e4f",
    "interview": "int_4c1e90b7a2d35f68",
    "interview_session": "interview-4c1e90b7a2d35f68",
    "finished_interview": "int_0d52b8c96e17fa34",
    "issue": "b1d2",
    "key": "key_7b1",
    "mapping": "map_5e1f",
    "worker_host": "host_forge07",
    "mutation": "mut_52",
    "batch_job": "batch:due_checkpoint:42",
    "credential": "cred_4d1c",
    "webhook_event": "evt_31",
    "workspace": "lin_demo",
    "connection": "conn_7d20",
    "agent": "a2a_91",
    "dispatch": "dsp_12",
    "agent_url": "https://reviewer.example.test",
    "m2m_client": "m2m_" + "0f3c" * 8,
    "m2m_secret": "m2ms_" + "9d21" * 16,
    "registration_token": "rsk_live_" + "5f1c0d2e" * 8,
    "slug": "acme",
    "project_slug": "billing",
}


@dataclass(frozen=True)
class Call:
    """One request, before anybody's credential is added."""

    method: str
    path: str
    body: Any = None

    async def by(self, client: httpx.AsyncClient, **headers: str) -> httpx.Response:
        """Send it as this caller."""
        content = None if self.body is None else json.dumps(self.body).encode()
        typed = {} if content is None else {"Content-Type": "application/json"}
        # As bytes, since a caller who means ill is not held to ASCII.
        sent = {name: text.encode("latin-1") for name, text in {**typed, **headers}.items()}
        return await client.request(self.method, self.path, content=content, headers=sent)

    def names(self, *ids: str) -> bool:
        """Whether one of these ids stands in it."""
        text = self.path + json.dumps(self.body)
        return any(each in text for each in ids)


def call(operation: Operation, things: Mapping[str, str]) -> Call:
    """The contract's example of an operation, about `things` by their part in the examples."""
    real = {EXAMPLE[part]: id_ for part, id_ in things.items()}
    path, query = operation.path, {}
    for parameter in operation.parameters:
        # A stream of all sessions has no end unless it is given one.
        shown = parameter.get("required") or (operation.id, parameter["name"]) == ENDED_BY
        if parameter["in"] == "path" or (parameter["in"] == "query" and shown):
            value = real.get(parameter["example"], parameter["example"])
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
            else:
                query[parameter["name"]] = value
    if query:
        path += "?" + urlencode(query)
    return Call(operation.method, path, _put(real, example_of(operation)))


def example_of(operation: Operation) -> Any:
    """The example of an operation's JSON body, None when it has no body."""
    if "requestBody" not in operation.raw:
        return None
    content = resolved(CONTRACT.spec, operation.raw["requestBody"])["content"]
    return content["application/json"]["example"]


def _put(real: Mapping[str, str], node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _put(real, each) for name, each in node.items()}
    if isinstance(node, list):
        return [_put(real, each) for each in node]
    return real.get(node, node) if isinstance(node, str) else node


def rule(operation: Operation) -> Rule:
    """What the scope table says of an operation."""
    return RULES[operation.id]


def variable(operation_id: str) -> str | None:
    """The variable with the credential that an operation is called with; None for a public one."""
    rule = RULES[operation_id]
    if rule.scope == "system":
        return "RENSEI_SYSTEM_KEY"
    if rule.kinds == {Kind.BATCH}:
        return "RENSEI_BATCH_TOKEN"
    if Kind.RUNTIME in rule.kinds:
        return "RENSEI_RUNTIME_TOKEN" if len(rule.kinds) == 1 else "RENSEI_WORKER_KEY"
    if rule.kinds == {Kind.COOKIE}:
        return "RENSEI_SESSION"
    return None if not rule.kinds else "RENSEI_ORG_KEY"


def takes_bearer(operation: Operation) -> bool:
    return bool({"workerJwt", "rsk_Bearer", "batchJwt"}.intersection(operation.security))


def takes_cookie(operation: Operation) -> bool:
    return "cookieAuth" in operation.security


def has_scope(operation: Operation) -> bool:
    """Whether holding a certain scope matters, beside holding a credential at all."""
    return rule(operation).scope not in {PUBLIC, "any", "system"}


def shape(answer: httpx.Response, *ids: str) -> tuple[int, str]:
    """Status and text of an answer, with the ids that the caller himself sent taken out."""
    text = answer.text
    for each in ids:
        text = text.replace(each, "…")
    return answer.status_code, re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "…", text)


FLAGGED: Final[Mapping[str, str]] = {
    "transferOwnership": "transferred",
    "claimSession": "claimed",
    "getRecoveryChain": "totalPackets",
}
"""Operations that say no with 200 and a member that is false or 0, since clients take any other
status for a failure of the call: operation -> member."""


JSON_RPC: Final = frozenset({"callA2A"})
"""Operations whose protocol says no with 200 and an `error` beside the request's id."""


OWN_REFUSALS: Final[Mapping[tuple[str, str], str]] = {
    ("cancelDaemonMutation", "409"): "MutationNotCancelled",
    ("mcpCall", "400"): "McpRefusal",
    ("mcpCall", "404"): "McpRefusal",
}
"""(operation, status) whose refusal has members of its own, which clients read, beside `error`:
-> the schema."""


def refuses(operation: Operation, answer: httpx.Response, *statuses: int) -> bool:
    """Whether an answer says no: by one of the statuses, or by its flag where it has one."""
    if operation.id in JSON_RPC and answer.status_code == 200:
        return "error" in answer.json()
    if operation.id in FLAGGED and answer.status_code == 200:
        return not answer.json()[FLAGGED[operation.id]]
    return answer.status_code in statuses
