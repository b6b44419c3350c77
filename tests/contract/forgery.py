"""Tokens that look like this server's own and are not, or are not what they say."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import OctKey

from auth import keyring, tokens
from auth.tokens import M2M, MCP, RUNTIME, TokenKind
from tests.contract.world import claims_of

Forge = Callable[[TokenKind, str], Awaitable[str]]
"""From a kind of token and a good one of it to a bad one."""


async def _signed(kind: TokenKind, claims: dict[str, Any], **header: str) -> str:
    key = await keyring.current().signer(kind.purpose)
    return _sign(key.secret, claims, **{"typ": kind.typ, "kid": key.kid, **header})


def _sign(secret: bytes, claims: dict[str, Any], **header: str) -> str:
    header = {"alg": tokens.ALGORITHM, **header}
    return jwt.encode(header, claims, OctKey.import_key(secret), algorithms=[header["alg"]])


def _part(content: Any) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _other(kind: TokenKind) -> TokenKind:
    return M2M if kind is RUNTIME else RUNTIME


async def _unsigned(kind: TokenKind, good: str) -> str:
    kid = (await keyring.current().signer(kind.purpose)).kid
    return f"{_part({'alg': 'none', 'typ': kind.typ, 'kid': kid})}.{good.split('.')[1]}."


async def _unsigned_with_a_signature(kind: TokenKind, good: str) -> str:
    return await _unsigned(kind, good) + good.split(".")[2]


async def _own_key(kind: TokenKind, good: str) -> str:
    kid = (await keyring.current().signer(kind.purpose)).kid
    return _sign(secrets.token_bytes(32), claims_of(good), typ=kind.typ, kid=kid)


async def _unknown_kid(kind: TokenKind, good: str) -> str:
    return await _signed(kind, claims_of(good), kid="sig_0000000000000000")


async def _no_kid(kind: TokenKind, good: str) -> str:
    key = await keyring.current().signer(kind.purpose)
    return _sign(key.secret, claims_of(good), typ=kind.typ)


async def _other_audience(kind: TokenKind, good: str) -> str:
    return await _signed(kind, claims_of(good) | {"aud": _other(kind).audience})


async def _other_issuer(kind: TokenKind, good: str) -> str:
    return await _signed(kind, claims_of(good) | {"iss": "somebody"})


async def _other_label(kind: TokenKind, good: str) -> str:
    return await _signed(kind, claims_of(good), typ=_other(kind).typ)


async def _other_label_and_words(kind: TokenKind, good: str) -> str:
    other = _other(kind)
    claims = claims_of(good) | {"aud": other.audience, "iss": other.issuer}
    return await _signed(kind, claims, typ=other.typ)


async def _other_kinds_key(kind: TokenKind, good: str) -> str:
    return await _signed(_other(kind), claims_of(good), typ=kind.typ)


async def _as_an_agents(kind: TokenKind, good: str) -> str:
    """A good token of the kind that only MCP takes, with this one's claims."""
    return await tokens.mint(MCP, claims_of(good), 60)


async def _of_an_agent(kind: TokenKind, good: str) -> str:
    """An agent's token, relabelled."""
    return await _signed(MCP, claims_of(good), typ=kind.typ)


async def _other_algorithm(kind: TokenKind, good: str) -> str:
    key = await keyring.current().signer(kind.purpose)
    return _sign(key.secret, claims_of(good), alg="HS512", typ=kind.typ, kid=key.kid)


async def _no_end(kind: TokenKind, good: str) -> str:
    claims = claims_of(good)
    del claims["exp"]
    return await _signed(kind, claims)


async def _changed(kind: TokenKind, good: str) -> str:
    header, _, signature = good.split(".")
    changed = claims_of(good) | {"scope": ["*"], "scopes": ["*"], "exp": 99_999_999_999}
    return f"{header}.{_part(changed)}.{signature}"


async def _truncated(kind: TokenKind, good: str) -> str:
    return good[:-8]


async def _no_signature(kind: TokenKind, good: str) -> str:
    return good[: good.rindex(".") + 1]


async def _two_parts(kind: TokenKind, good: str) -> str:
    return good[: good.rindex(".")]


FORGERIES: Final[dict[str, Forge]] = {
    "alg none": _unsigned,
    "alg none, yet a signature": _unsigned_with_a_signature,
    "another algorithm": _other_algorithm,
    "a key of one's own": _own_key,
    "unknown kid": _unknown_kid,
    "no kid": _no_kid,
    "another audience": _other_audience,
    "another issuer": _other_issuer,
    "relabelled": _other_label,
    "relabelled with its words": _other_label_and_words,
    "the other kind's key": _other_kinds_key,
    "as an agent's": _as_an_agents,
    "of an agent": _of_an_agent,
    "no end": _no_end,
    "changed claims": _changed,
    "truncated": _truncated,
    "no signature": _no_signature,
    "two parts": _two_parts,
}
