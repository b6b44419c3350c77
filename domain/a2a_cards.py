"""AgentCards: the server's own, and what is taken from a peer's (`contract/a2a.md` 0 and 1)."""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

WELL_KNOWN: Final = "/.well-known/agent-card.json"
ENDPOINT: Final = "/api/a2a"
JSON_RPC: Final = "JSONRPC"
BINDINGS: Final = (JSON_RPC, "HTTP+JSON")
"""The ways to send messages that are used here, the preferred first."""

OLD: Final = "0.3"
NEW: Final = "1.0"

TRUSTED: Final = frozenset({"internal", "trusted"})
"""The levels of trust that make tools of an agent's skills (decision 32)."""

MOST_SKILLS: Final = 200
MOST_SCHEMA_DEPTH: Final = 50
MOST_NAME_CHARACTERS: Final = 300
SKILL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
PORTS: Final = {"https": 443, "http": 80}

PLATFORM_SKILLS: Final = [
    {
        "id": "sdlc.execute",
        "name": "Software work",
        "description": "Works on a change of a repository, from a text that says what is wanted.",
        "tags": ["development"],
    }
]
ORG_SKILLS: Final = [
    {"id": "development", "name": "Development", "description": "Makes a change and shows it."},
    {"id": "research", "name": "Research", "description": "Finds out what a change would take."},
    {"id": "qa", "name": "QA", "description": "Checks a change against what was asked for."},
    {"id": "security", "name": "Security", "description": "Looks for weaknesses in a repository."},
]


class BadCard(Exception):
    """What was found is no AgentCard that can be used; the text says why."""


def own_card(
    address: str, name: str, description: str, version: str, skills: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The server's card, for clients of both generations: each reads its own members."""
    url = address + ENDPOINT
    text = ["text/plain"]
    return {
        "@type": "AgentCard",
        "name": name,
        "description": description,
        "version": version,
        "url": url,
        "preferredTransport": JSON_RPC,
        "protocolVersion": f"{OLD}.0",
        "supportedInterfaces": [
            {"url": url, "protocolBinding": JSON_RPC, "protocolVersion": NEW},
            {"url": url, "protocolBinding": JSON_RPC, "protocolVersion": OLD},
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": True,
            "stateTransitionHistory": False,
            "extendedAgentCard": False,
        },
        "defaultInputModes": text,
        "defaultOutputModes": text,
        "skills": [
            {"tags": [], **skill, "inputModes": text, "outputModes": text} for skill in skills
        ],
        "authentication": {"schemes": ["Bearer"]},
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "httpAuthSecurityScheme": {"scheme": "bearer"},
            }
        },
        "security": [{"bearer": []}],
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        "supportsAuthenticatedExtendedCard": False,
    }


def normalised(address: str) -> str:
    """The base URL of an agent: scheme and host in lower case, nothing at the end.

    Raises ValueError for what is no URL.
    """
    parts = urlsplit(address.strip())
    host = (parts.hostname or "").rstrip()
    if parts.username is not None or not host:
        raise ValueError("an agent's address is scheme, host and path, without credentials")
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    if parts.port is not None and parts.port != PORTS.get(scheme):
        host = f"{host}:{parts.port}"
    path = parts.path.rstrip("/").removesuffix(WELL_KNOWN).rstrip("/")
    return urlunsplit((scheme, host, path, parts.query, ""))


def places(url: str) -> list[str]:
    """Where the card of an agent may be, in the order of looking."""
    parts = urlsplit(url)
    return [urlunsplit((*parts[:2], parts.path + WELL_KNOWN, "", "")), url]


def usable(card: Any, url: str) -> dict[str, Any]:
    """A peer's card; raises `BadCard` when it is none, or sends messages elsewhere.

    Only a name is required. Every interface must be on the host that was registered: whoever is
    trusted there need not be trusted wherever the card points.
    """
    if not isinstance(card, dict):
        raise BadCard("the card is not a JSON object")
    if _holds_nul(card):  # which PostgreSQL cannot store, and nobody writes on purpose
        raise BadCard("the card contains a NUL character")
    name = card.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > MOST_NAME_CHARACTERS:
        raise BadCard(f"the card has no name of at most {MOST_NAME_CHARACTERS} characters")
    for member in ("version", "description", "url"):
        if not isinstance(card.get(member, ""), str | None):
            raise BadCard(f"the card's {member} is not a text")
    skills = card.get("skills", [])
    if not isinstance(skills, list) or len(skills) > MOST_SKILLS:
        raise BadCard(f"the card's skills are not a list of at most {MOST_SKILLS}")
    for skill in skills:
        id_ = skill.get("id") if isinstance(skill, dict) else None
        if not isinstance(id_, str) or not SKILL_ID.fullmatch(id_):
            raise BadCard("a skill of the card has no id that could name a tool")
    for each in _addresses(card):
        if not isinstance(each, str) or origin(urljoin(url + "/", each)) != origin(url):
            raise BadCard("an interface of the card is not on the host that is registered")
    return card


def _holds_nul(card: Any) -> bool:
    nodes = [card]
    while nodes:
        node = nodes.pop()
        if isinstance(node, str) and "\0" in node:
            return True
        if isinstance(node, dict):
            nodes += [*node, *node.values()]
        elif isinstance(node, list):
            nodes += node
    return False


def _addresses(card: dict[str, Any]) -> list[Any]:
    """Every URL that messages could be sent to, for either generation.

    Interfaces of other kinds, gRPC's for one, are never used, and their addresses may be no URLs.
    """
    used = card.get("url") and card.get("preferredTransport", JSON_RPC) in BINDINGS
    found = [card["url"]] if used else []
    for member in ("supportedInterfaces", "additionalInterfaces"):
        listed = card.get(member) or []
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise BadCard(f"the card's {member} are not a list of objects")
        found += [
            each.get("url")
            for each in listed
            if each.get("protocolBinding", each.get("transport", JSON_RPC)) in BINDINGS
        ]
    return found


def origin(url: str) -> tuple[str, str | None, int | None] | None:
    """Scheme, host and port; None for what has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def slug(name: str) -> str:
    """How an agent is called in the name of a tool (`contract/mcp.md` 4.3)."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def input_schema(skill: dict[str, Any]) -> dict[str, Any]:
    """What a tool made of a skill takes: the skill's own schema, where it can be used as it is.

    One that refers to somewhere else is not: whoever compiles it would go and fetch it.
    """
    schema = skill.get("inputSchema")
    if isinstance(schema, dict) and schema.get("type") == "object" and not _refers(schema, 0):
        return schema
    return {"type": "object", "additionalProperties": True}


def _refers(node: Any, depth: int) -> bool:
    if depth > MOST_SCHEMA_DEPTH:
        return True
    if isinstance(node, dict):
        for name in ("$id", "id", "$schema"):  # as a property's name, each has a schema below it
            if isinstance(node.get(name), str):
                return True
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(node.get(name), str) and not node[name].startswith("#"):
                return True
        return any(_refers(each, depth + 1) for each in node.values())
    return isinstance(node, list) and any(_refers(each, depth + 1) for each in node)
