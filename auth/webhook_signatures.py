"""Webhook signatures: each provider's own scheme, over the raw bytes, in constant time.

Schemes and test vectors: `contract/webhooks.md` section 2 of the wire contract. Vercel signs with
SHA-1, whatever older pages say; a 64-digit value is tried as SHA-256.
"""

import functools
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

import settings
from auth import keyring
from domain.errors import Invalid, Unauthenticated, Unavailable
from domain.repositories import host_of_api
from persistence import database, workspaces
from settings import Secret, Settings


@dataclass(frozen=True, slots=True)
class Provider:
    """How one provider signs and how this server keeps its secret."""

    name: str
    setting: str
    secret: Callable[[Settings], Secret | None]
    headers: tuple[str, ...]
    prefix: str = ""
    algorithms: tuple[str, ...] = ("sha256",)


PROVIDERS: Final = {
    provider.name: provider
    for provider in (
        Provider(
            "linear",
            "WEBHOOK_SECRET_LINEAR",
            lambda s: s.webhook_secret_linear,
            ("linear-signature", "x-linear-signature"),
        ),
        Provider(
            "github",
            "WEBHOOK_SECRET_GITHUB",
            lambda s: s.webhook_secret_github,
            ("x-hub-signature-256",),
            "sha256=",
        ),
        Provider(
            "github-actions",
            "WEBHOOK_SECRET_GITHUB_ACTIONS",
            lambda s: s.webhook_secret_github_actions,
            ("x-hub-signature-256",),
            "sha256=",
        ),
        Provider(
            "vercel",
            "WEBHOOK_SECRET_VERCEL",
            lambda s: s.webhook_secret_vercel,
            ("x-vercel-signature",),
            algorithms=("sha1", "sha256"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class VerifiedDelivery:
    """A delivery whose signature is good.

    `verified_by` is the organization whose own secret it was, empty for the server's.
    """

    provider: str
    verified_by: str
    body: bytes


def matches(provider: Provider, secret: str, body: bytes, signature: str) -> bool:
    """Whether the signature header's value is the provider's HMAC of the body."""
    if not signature.startswith(provider.prefix):
        return False
    given = signature[len(provider.prefix) :]
    for algorithm in provider.algorithms:
        if len(given) == hashlib.new(algorithm).digest_size * 2:
            expected = hmac.new(secret.encode(), body, algorithm).hexdigest()
            return hmac.compare_digest(expected, given) if given.isascii() else False
    return False


_GITHUB: Final = (
    ("repository", "full_name"),
    ("installation", "id"),
    ("repository", "owner", "login"),
)

WORKSPACES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "linear": (("organizationId",),),
    "github": _GITHUB,
    "github-actions": _GITHUB,
    "vercel": (("payload", "project", "id"), ("payload", "team", "id"), ("payload", "user", "id")),
}
"""Where each provider's body says which workspace it comes from."""

LONGEST_ID: Final = 200
MOST_ESCAPED: Final = 12
"""How long one character may be in JSON: two escapes of six."""


async def verify(name: str, headers: Mapping[str, str], body: bytes) -> VerifiedDelivery:
    """Check a delivery.

    Raises `Unauthenticated`, `Unavailable` when no secret is set at all, and `Invalid` for a
    provider that is none.


    The server's secret is tried first. Then the body is read for one thing only, the workspaces it
    claims, to find the secrets of organizations that map it for themselves; the signature decides.
    """
    provider = PROVIDERS.get(name)
    if provider is None:  # the signature is checked before the contract looks at the path
        raise Invalid(f"path.provider: must be one of {', '.join(PROVIDERS)}")
    signature = next((headers[h] for h in provider.headers if h in headers), None)
    if not signature:
        raise Unauthenticated(f"Send the signature in the {provider.headers[0]} header")
    shared = provider.secret(settings.current())
    if shared and matches(provider, shared.value, body, signature):
        return VerifiedDelivery(name, "", body)
    own = await _own_secrets(name, body)
    for org_id, secret in own:
        if matches(provider, secret, body, signature):
            return VerifiedDelivery(name, org_id, body)
    if shared is None and not own:
        raise Unavailable(
            f"No signing secret for {name} is configured; set {provider.setting}", retry_after=60
        )
    raise Unauthenticated("The signature does not match the body")


async def _own_secrets(provider: str, body: bytes) -> list[tuple[str, str]]:
    claimed = claimed_workspaces(provider, body)
    if not claimed:
        return []
    async with database.statement() as db:
        rows = await workspaces.own_secrets(
            db, provider, claimed, claimed_repository(provider, claimed)
        )
    master = keyring.current().master
    return [
        (row.org_id, open_secret(master.open, row.org_id, provider, row.secret_encrypted))
        for row in rows
    ]


def claimed_workspaces(provider: str, body: bytes) -> tuple[str, ...]:
    """The workspaces that a body names, the narrowest first. Proves nothing by itself.

    Linear names its organization; GitHub the repository (`owner/name`, in lower case), the app's
    installation and the owner; Vercel the project and the team.

    Nobody has signed the body yet, so nothing is made of it but these names: the rest is passed
    over, however many values it holds.
    """
    named = [_at(body, *path) for path in WORKSPACES[provider]]
    if provider in {"github", "github-actions"}:
        named = [each.lower() if isinstance(each, str) else each for each in named]
    texts = [str(each) if type(each) is int else each for each in named]
    # No stored id is longer or holds a NUL, which PostgreSQL cannot even be asked about.
    return tuple(
        each
        for each in texts
        if isinstance(each, str) and 0 < len(each) <= LONGEST_ID and "\x00" not in each
    )


def claimed_repository(provider: str, claimed: Sequence[str]) -> str | None:
    """`host/owner/name` of the repository among the workspaces that an event of GitHub's names."""
    if provider not in {"github", "github-actions"}:
        return None
    host = host_of_api(settings.current().github_api_url)
    return next((f"{host}/{each}" for each in claimed if "/" in each), None)


def _at(body: bytes, *path: str) -> Any:
    """The value at a place in a JSON text; None where there is none, or one too long for an id."""
    node: Any = body
    try:
        for name in path:
            node = getattr(_member(name).decode(node), name)
        written = bytes(node)
        return orjson.loads(written) if len(written) <= MOST_ESCAPED * LONGEST_ID else None
    except (msgspec.MsgspecError, orjson.JSONDecodeError, RecursionError):
        return None


@functools.cache
def _member(name: str) -> msgspec.json.Decoder[Any]:
    """Finds one member of an object, as the text that it is."""
    return msgspec.json.Decoder(
        msgspec.defstruct("Holding", [(name, msgspec.Raw, msgspec.Raw(b"null"))])
    )


def secret_context(org_id: str, provider: str) -> str:
    """What an organization's webhook secret is sealed with, so that rows cannot be swapped."""
    return f"webhook secret {org_id} {provider}"


def open_secret(
    unseal: Callable[[bytes, str], bytes], org_id: str, provider: str, sealed: bytes
) -> str:
    return unseal(sealed, secret_context(org_id, provider)).decode()
