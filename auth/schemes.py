"""The functions behind the contract's security schemes: from a request to a `Principal`.

A credential that is present and bad is refused, whatever else came with it. Which scheme an
operation names matters little here: the credential is recognised by its form, and the scope table
says which kinds the operation takes.
"""

import hmac
import time
from collections import OrderedDict
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from sqlalchemy import Row

import settings
from auth import session_tokens, tokens, webhook_signatures
from auth.address import caller_address
from auth.session_tokens import SessionAgent
from auth.webhook_signatures import VerifiedDelivery
from domain.errors import Forbidden, Refusal, TooMany, Unauthenticated, Unavailable
from domain.ids import fingerprint
from domain.principal import WORKER_SCOPES, BatchClaim, Kind, Principal
from persistence import browser_sessions, database, keys, m2m_clients
from persistence.ephemeral import limits

COOKIE: Final = "wos-session"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

AGENT_SCHEME: Final = "mcpToken"
"""The alternative of an operation that takes the token of a session's agent."""

ANONYMOUS: Final = ""
"""The alternative of an operation that also serves who sends no credential at all."""

REFRESH_GRACE_SECONDS: Final = 24 * 3600
"""How long after its expiry a runtime token may still ask for a new one."""

CACHED_KEYS: Final = 10_000
CACHED_KEY_SECONDS: Final = 30.0


class RequestView(Protocol):
    """What authentication reads of a request; `contract.Request` is one."""

    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> Any: ...
    @property
    def cookies(self) -> dict[str, str]: ...
    @property
    def client_host(self) -> str | None: ...
    @property
    def path_params(self) -> Any: ...
    @property
    def operation(self) -> Any: ...
    async def body(self) -> bytes: ...


SEEN_ALIVE_SECONDS: Final = 60.0
"""How long a key is recognised from here after an operation's own query found it alive."""


# Worker calls read the state of their key or worker in their own query, so a key may be
# recognised from here without asking the database twice.
_known_keys: OrderedDict[bytes, tuple[float, Principal, float]] = OrderedDict()
_seen_alive: OrderedDict[str, float] = OrderedDict()


async def authenticate(
    request: RequestView, alternatives: tuple[str, ...]
) -> Principal | VerifiedDelivery | None:
    """Say who is asking, or raise `Unauthenticated`, or `TooMany` when an address keeps failing.

    None is a call without any credential, where the operation has that alternative.
    """
    try:
        return await _recognise(request, alternatives)
    except Unauthenticated:
        await count_failure(request)
        raise


async def is_still(request: RequestView, user: Principal) -> bool:
    """Whether the credential of a long answer, looked up anew, says what it said at its start.

    Whether a runtime token's worker is still one is asked by the answer's own query.
    """
    try:
        return user == await _recognise(request, request.operation.security, anew=True)
    except Unavailable:
        raise
    except Refusal:
        return False


async def count_failure(request: RequestView) -> None:
    """Count a refused credential; raises `TooMany` once its address has had too many a minute."""
    most = settings.current().failures_per_minute
    if most and await limits.count_failure(address_of(request)) > most:
        raise TooMany(retry_after=limits.WINDOW_SECONDS)


def address_of(request: RequestView) -> str:
    """The caller's address, through the proxies that the settings trust."""
    trusted = settings.current().trusted_proxies
    # A proxy may add a line of its own instead of adding to the one it got.
    forwarded = ", ".join(request.headers.getlist("x-forwarded-for")) if trusted else None
    return caller_address(request.client_host, forwarded, trusted)


async def _recognise(
    request: RequestView, alternatives: tuple[str, ...], *, anew: bool = False
) -> Principal | VerifiedDelivery | None:
    if "webhookHmac" in alternatives:
        return await webhook_signatures.verify(
            request.path_params["provider"], request.headers, await request.body()
        )
    found: Principal | None = None
    if "cookieAuth" in alternatives and COOKIE in request.cookies:
        found = await _cookie(request, request.cookies[COOKIE])
    authorization = request.headers.get("authorization")
    if authorization is not None and alternatives != ("cookieAuth",):
        for_workers = "workerJwt" in alternatives and not anew
        for_agents = AGENT_SCHEME in alternatives
        found = await _bearer(authorization, request.operation.id, for_workers, for_agents)
    if found is None:
        if ANONYMOUS in alternatives and authorization is None and COOKIE not in request.cookies:
            return None
        raise Unauthenticated
    return found


async def _cookie(request: RequestView, value: str) -> Principal:
    if request.method not in SAFE_METHODS:
        _require_own_origin(request.headers.get("origin"))
    async with database.statement() as db:
        row = await browser_sessions.find_key(db, fingerprint(value))
    if row is None:
        raise Unauthenticated("The browser session has ended; sign in again")
    return principal_of_key(row, Kind.COOKIE)


def require_own_page(request: RequestView) -> None:
    """Refuse what another site's page asks with the browser's cookie, where the method does not
    tell that something changes; browsers send one of these headers, and other programs neither."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None:
        _require_own_origin(origin)
    elif site not in {None, "same-origin", "none"}:
        raise Forbidden("A change made with the cookie must come from the server's own pages")


def _require_own_origin(origin: str | None) -> None:
    own = settings.current().own_address
    if origin is None or _origin(origin) != _origin(own):
        raise Forbidden(f"A change made with the cookie needs an Origin header of {own}")


def _origin(address: str) -> tuple[str, str | None, int | None] | None:
    """Scheme, host and port as browsers compare them (RFC 6454); None for what is no address."""
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


async def _bearer(
    authorization: str, operation_id: str, for_workers: bool, for_agents: bool
) -> Principal:
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the credential as Authorization: Bearer <token>")
    if token.count(".") == 2:
        grace = REFRESH_GRACE_SECONDS if operation_id == "workerRefreshToken" else 0
        among = tokens.BEARERS | {tokens.MCP} if for_agents else tokens.BEARERS
        kind, claims = await tokens.verify(token, grace, among)
        if kind is tokens.MCP:
            return principal_of_agent(await session_tokens.verify(token))
        if kind is tokens.RUNTIME:
            return principal_of_runtime(claims)
        return principal_of_batch(claims) if kind is tokens.BATCH else await _m2m(claims)
    system_key = settings.current().system_key
    if system_key and hmac.compare_digest(system_key.value.encode(), token.encode()):
        return Principal(Kind.SYSTEM, "system", None, None, frozenset({"system"}))
    return await key_principal(token, from_memory=for_workers)


async def _m2m(claims: dict[str, Any]) -> Principal:
    # The row is read every time, so that revoking a client ends its tokens at once.
    async with database.statement() as db:
        row = await m2m_clients.find_alive(db, claims["sub"])
    if row is None:
        raise Unauthenticated("The M2M client was revoked")
    return Principal(Kind.M2M, row.id, row.org_id, None, frozenset(claims["scopes"]))


async def key_principal(token: str, *, from_memory: bool = False) -> Principal:
    """Who an API key or registration token speaks for; raises `Unauthenticated`.

    `from_memory` is for operations whose own query checks that the key is alive.
    """
    key_hash = fingerprint(token)
    if from_memory and key_hash in _known_keys:
        known_at, principal, ends_at = _known_keys[key_hash]
        seen_at = _seen_alive.get(principal.id, float("-inf"))
        until = max(known_at + CACHED_KEY_SECONDS, seen_at + SEEN_ALIVE_SECONDS)
        if until > time.monotonic() and ends_at > time.time():
            return principal
    async with database.statement() as db:
        row = await keys.find_by_hash(db, key_hash)
    if row is None:
        _known_keys.pop(key_hash, None)
        raise Unauthenticated("The key is unknown, expired or revoked")
    kind = Kind.ORG_KEY if row.project_ids is None else Kind.PROJECT_KEY
    principal = principal_of_key(row, kind)
    ends_at = row.expires_at.timestamp() if row.expires_at else float("inf")
    _known_keys[key_hash] = (time.monotonic(), principal, ends_at)
    if len(_known_keys) > CACHED_KEYS:
        _known_keys.popitem(last=False)
    return principal


def note_alive(user: Principal) -> None:
    """Say that an operation's own query has just found the caller's key alive.

    So whoever was served a moment ago is recognised while the database is away.
    """
    if user.kind in {Kind.PROJECT_KEY, Kind.ORG_KEY}:
        _seen_alive[user.id] = time.monotonic()
        _seen_alive.move_to_end(user.id)
        if len(_seen_alive) > CACHED_KEYS:
            _seen_alive.popitem(last=False)


def principal_of_key(row: Row[Any], kind: Kind) -> Principal:
    """A key's row as the caller it stands for; a browser session has its key's rights."""
    return Principal(
        kind,
        row.id,
        row.org_id,
        None if row.project_ids is None else frozenset(row.project_ids),
        frozenset(row.scopes),
        registration_id=row.id,
        issues_runtime_tokens=not row.is_deployment_key,
    )


def principal_of_runtime(claims: dict[str, Any]) -> Principal:
    """A runtime token's claims as the worker it stands for."""
    return Principal(
        Kind.RUNTIME,
        claims["sub"],
        claims["org"],
        frozenset({claims["proj"]}),
        frozenset(claims["scope"]) & frozenset(WORKER_SCOPES),
        registration_id=claims["reg"],
        worker_id=claims["sub"],
        expires_at=claims["exp"],
    )


def principal_of_agent(agent: SessionAgent) -> Principal:
    """A session's agent, which sees its session's project and can be told from its worker."""
    return Principal(
        Kind.AGENT,
        agent.session_id,
        agent.org_id,
        frozenset({agent.project_id}),
        frozenset({"sessions:write"}),
        worker_id=agent.worker_id,
    )


def principal_of_batch(claims: dict[str, Any]) -> Principal:
    """A batch token's claims as the worker that claimed the job, with no right but to its result.

    Whether the worker and the claim are still good is asked by the operation's own query.
    """
    return Principal(
        Kind.BATCH,
        claims["wkr"],
        claims["org_id"],
        frozenset({claims["project_id"]}),
        frozenset(claims["scope"]),
        worker_id=claims["wkr"],
        claim=BatchClaim(claims["sub"], claims["att"]),
    )
