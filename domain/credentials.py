"""What agents are given as environment, layer by layer, and what they are never given."""

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_ENVIRONMENT: Final = "production"
SHOWN_CHARACTERS: Final = 4
LONG_ENOUGH_TO_SHOW: Final = 20

# What daemons and this server read of their own environment.
RESERVED_PREFIXES: Final = ("RENSEI_", "DONMAI_", "WORKER_API_KEY", "WEBHOOK_SECRET_")

_PLATFORM_KEY: Final = re.compile(r"(rsk|rsp)_(live|system)_|m2ms_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Scope:
    """All that decides which credentials a session is given."""

    org_id: str
    project_id: str
    env_name: str


@dataclass(frozen=True, slots=True)
class Credential:
    """Variables of one kind, for an organization or a part of it."""

    kind: str
    project_id: str | None
    env_name: str | None
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Environment:
    """What a scope is given."""

    env: Mapping[str, str] = field(repr=False)
    names: Mapping[str, frozenset[str]]
    """The variables that each kind has in this scope."""

    def of_kind(self, kind: str) -> dict[str, str]:
        """The part of it that is about one kind."""
        return {name: self.env[name] for name in sorted(self.names.get(kind, ()))}


def concerns(project_id: str | None, env_name: str | None, scope: Scope) -> bool:
    """Whether a credential for a project and environment, or for all of them, is the scope's."""
    return project_id in {None, scope.project_id} and env_name in {None, scope.env_name}


def environment(credentials: Iterable[Credential], scope: Scope) -> Environment:
    """Put the layers upon each other: organization, project, environment, the narrower wins.

    Of two kinds that set one variable in one layer, the later in the alphabet wins.
    """
    mine = [each for each in credentials if concerns(each.project_id, each.env_name, scope)]
    mine.sort(key=lambda c: (c.env_name is not None, c.project_id is not None, c.kind))
    env: dict[str, str] = {}
    names: dict[str, frozenset[str]] = {}
    for each in mine:
        given = {name: value for name, value in each.env.items() if not is_withheld(name, value)}
        env |= given
        names[each.kind] = names.get(each.kind, frozenset()) | given.keys()
    return Environment(env, names)


def is_withheld(name: str, value: str) -> bool:
    """Whether a variable is on the block list: a daemon's own, or a key to this server."""
    return (
        name.upper().startswith(RESERVED_PREFIXES)
        or _PLATFORM_KEY.match(value.strip()) is not None
        or _is_platform_token(value.strip())
    )


def masked(value: str) -> str:
    """Enough of a value to know it again, and too little to use it."""
    shown = len(value) >= LONG_ENOUGH_TO_SHOW
    return "…" + (value[-SHOWN_CHARACTERS:] if shown else "")


def _is_platform_token(value: str) -> bool:
    """Whether a value is a signed token for this server, by what it says of itself."""
    parts = value.split(".")
    if len(parts) != 3:
        return False
    header, claims = _part(parts[0]), _part(parts[1])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return False
    typ, audience = str(header.get("typ")), str(claims.get("aud"))
    return audience.startswith("rensei-") and typ.endswith("+jwt")


def _part(segment: str) -> Any:
    try:
        return json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
