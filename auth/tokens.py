"""Signed tokens: each kind has a key, a `typ` and an `aud` of its own."""

import json
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from auth import keyring
from domain.errors import Unauthenticated

CACHED_TOKENS: Final = 20_000
ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class TokenKind:
    """One kind of token: what signs it and what it says of itself."""

    purpose: str
    typ: str
    audience: str
    issuer: str
    expired: str  # what the caller reads when it has expired


RUNTIME: Final = TokenKind(
    "runtime", "runtime+jwt", "rensei-runtime", "rensei", "Runtime token expired"
)
M2M: Final = TokenKind("m2m", "m2m+jwt", "rensei-api", "rensei-platform", "M2M token expired")
BATCH: Final = TokenKind("batch", "batch+jwt", "rensei-batch", "rensei", "Batch token expired")
MCP: Final = TokenKind("mcp", "mcp+jwt", "rensei-mcp", "rensei", "MCP token expired")
KINDS: Final = {kind.typ: kind for kind in (RUNTIME, M2M, BATCH, MCP)}

BEARERS: Final = frozenset({RUNTIME, M2M, BATCH})
"""What the API takes as a bearer. The token of a session's agent is none: it is for MCP alone."""

INVALID: Final = "The token is not valid"

# A signature that was good stays good: what can change, expiry and revocation, is checked on
# every call, the second in the operation's own query.
_verified: OrderedDict[str, tuple[TokenKind, dict[str, Any]]] = OrderedDict()


async def mint(kind: TokenKind, claims: Mapping[str, Any], lifetime_seconds: int) -> str:
    """Sign `claims`, completed with `iss`, `aud`, `iat` and `exp`."""
    key = await keyring.current().signer(kind.purpose)
    now = int(time.time())
    return jwt.encode(
        {"alg": ALGORITHM, "typ": kind.typ, "kid": key.kid},
        {
            **claims,
            "iss": kind.issuer,
            "aud": kind.audience,
            "iat": now,
            "exp": now + lifetime_seconds,
        },
        _imported(key.secret),
        algorithms=[ALGORITHM],
    )


async def verify(
    token: str, grace_seconds: int = 0, among: Collection[TokenKind] = BEARERS
) -> tuple[TokenKind, dict[str, Any]]:
    """The kind and claims of a token this server signed; raises `Unauthenticated`.

    A good token of a kind that is not `among` those taken here is as bad as a forged one.
    `grace_seconds` lets a token pass that has expired no longer ago than that.
    """
    known = _verified.get(token)
    if known is None:
        known = await _check_signature(token)
        _verified[token] = known
        if len(_verified) > CACHED_TOKENS:
            _verified.popitem(last=False)
    kind, claims = known
    if kind not in among:
        raise Unauthenticated(INVALID)
    if claims["exp"] + grace_seconds <= time.time():
        raise Unauthenticated(kind.expired)
    return known


async def _check_signature(token: str) -> tuple[TokenKind, dict[str, Any]]:
    header = _unverified_header(token)
    kind = KINDS.get(str(header.get("typ")))
    if kind is None or header.get("alg") != ALGORITHM:
        raise Unauthenticated(INVALID)
    key = await keyring.current().find(str(header.get("kid")))
    if key is None or key.purpose != kind.purpose:
        raise Unauthenticated(INVALID)
    try:
        claims = jwt.decode(token, _imported(key.secret), algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError) as error:
        raise Unauthenticated(INVALID) from error
    if claims.get("aud") != kind.audience or claims.get("iss") != kind.issuer:
        raise Unauthenticated(INVALID)
    if not isinstance(claims.get("exp"), int):
        raise Unauthenticated(INVALID)
    return kind, claims


@lru_cache(maxsize=64)
def _imported(secret: bytes) -> OctKey:
    """The key as the library wants it; making one takes as long as signing does."""
    return OctKey.import_key(secret)


def _unverified_header(token: str) -> dict[str, Any]:
    segment = token.split(".", 1)[0]
    try:
        header = json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(INVALID) from error
    if not isinstance(header, dict):
        raise Unauthenticated(INVALID)
    return header
