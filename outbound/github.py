"""What the server asks of GitHub in the name of an app: tokens, and deliveries of its webhook."""

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from joserfc import jwt
from joserfc.jwk import RSAKey

from outbound.guarded_client import Answer, Failed, GuardedClient, Refused

ALGORITHM: Final = "RS256"
LEAST_KEY_BITS: Final = 2048

# GitHub takes ten minutes at the most; its clock may be behind ours, or ours behind it.
APP_SECONDS: Final = 540
SKEW_SECONDS: Final = 60

MOST_WAIT_SECONDS: Final = 3600.0
MOST_ERROR_CHARACTERS: Final = 300
API_VERSION: Final = "2022-11-28"

PAGE: Final = 100
_NEXT: Final = re.compile(r'[?&]cursor=([^&>]+)[^>]*>;\s*rel="next"')


class TryAgain(Exception):
    """It may work later; `wait_seconds` is set when GitHub said how much later."""

    def __init__(self, text: str, wait_seconds: float | None = None) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(text)


class Rejected(Exception):
    """GitHub will not do this until somebody changes the app, its key or the repositories."""


class BadKey(ValueError):
    """What was given is no RSA private key that an app could have."""


@dataclass(frozen=True, slots=True)
class InstallationToken:
    """A token, when it ends by GitHub's clock, and the `owner/name` of all that it opens."""

    token: str = field(repr=False)
    expires_at: datetime
    repositories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of GitHub's to deliver an event; a redelivery is another with the same `guid`."""

    id: int
    guid: str
    at: datetime
    arrived: bool
    """Whether it was answered with 2xx."""
    installation_id: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What an attempt sent: where to, the event's name and its payload."""

    url: str
    event: str
    payload: dict[str, Any]


async def fingerprint(private_key: str) -> str:
    """A private key's fingerprint, as GitHub's page of the app shows it; raises `BadKey`."""
    return await asyncio.to_thread(_fingerprint, private_key)


def _fingerprint(private_key: str) -> str:
    try:
        key = load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError) as error:
        raise BadKey("is not a private key in PEM, or is encrypted") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST_KEY_BITS:
        raise BadKey(f"is not an RSA key of {LEAST_KEY_BITS} bits or more")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode()


class GitHubApp:
    """GitHub as one app sees it. Every call raises `TryAgain` or `Rejected`."""

    def __init__(self, client: GuardedClient, api_url: str, app_id: str, private_key: str) -> None:
        self._client = client
        self._api_url = api_url
        self._app_id = app_id
        self._private_key = private_key

    async def installation_token(
        self, installation_id: str, repositories: Sequence[str]
    ) -> InstallationToken:
        """A token for these repositories (`owner/name`) of an installation and for no other.

        An installation is one account's, so GitHub is told bare names. A token that opens anything
        else, which an equal name of another account would lead to, is thrown away.
        """
        said, _ = await self._ask(
            "POST",
            f"/app/installations/{installation_id}/access_tokens",
            {"repositories": sorted({each.partition("/")[2] for each in repositories})},
        )
        try:
            found = InstallationToken(
                str(said["token"]),
                datetime.fromisoformat(said["expires_at"]),
                frozenset(str(each["full_name"]).lower() for each in said["repositories"]),
            )
            usable = found.expires_at.tzinfo is not None
        except (KeyError, TypeError, ValueError):
            usable = False
        if not usable:
            raise TryAgain("not an answer of GitHub's")
        if beyond := found.repositories - {each.lower() for each in repositories}:
            raise Rejected(
                f"the installation has {min(beyond)} in place of the project's repository"
            )
        return found

    async def attempts(self, cursor: str | None = None) -> tuple[list[Attempt], str | None]:
        """A page of the deliveries of the app's webhook, newest first, and the next page's cursor.

        GitHub keeps them for three days.
        """
        more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        said, headers = await self._ask("GET", f"/app/hook/deliveries?per_page={PAGE}{more}")
        try:
            found = [
                Attempt(
                    int(each["id"]),
                    str(each["guid"]),
                    datetime.fromisoformat(each["delivered_at"]),
                    200 <= each["status_code"] < 300,
                    None if each["installation_id"] is None else str(each["installation_id"]),
                )
                for each in said
            ]
        except (KeyError, TypeError, ValueError):
            raise TryAgain("not an answer of GitHub's") from None
        following = _NEXT.search(headers.get("link", ""))
        return found, unquote(following[1]) if following else None

    async def sent(self, attempt_id: int) -> Sent:
        """What one attempt sent."""
        said, _ = await self._ask("GET", f"/app/hook/deliveries/{attempt_id}")
        try:
            payload = said["request"]["payload"]
            found = Sent(str(said["url"]), str(said["event"]), dict(payload))
        except (KeyError, TypeError, ValueError):
            raise TryAgain("not an answer of GitHub's") from None
        return found

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        try:
            # Reading the key checks it, which takes a while.
            bearer = await asyncio.to_thread(self._app_token)
            answer = await self._client.request(
                method,
                self._api_url + path,
                headers={
                    "Authorization": f"Bearer {bearer}",
                    "Accept": "application/vnd.github+json",
                    **({"Content-Type": "application/json"} if body is not None else {}),
                    "X-GitHub-Api-Version": API_VERSION,
                },
                content=None if body is None else orjson.dumps(body),
            )
        except Failed as failed:
            raise TryAgain(str(failed)) from failed
        except Refused as refused:
            raise Rejected(str(refused)) from refused
        return _read(answer), answer.headers

    def _app_token(self) -> str:
        """What the app shows to GitHub in its own name."""
        now = int(time.time())
        return jwt.encode(
            {"alg": ALGORITHM, "typ": "JWT"},
            {"iss": self._app_id, "iat": now - SKEW_SECONDS, "exp": now + APP_SECONDS},
            RSAKey.import_key(self._private_key),
            algorithms=[ALGORITHM],
        )


def _read(answer: Answer) -> Any:
    """The answer's body, or the reason why there is none, as an exception."""
    said: Any = None
    with suppress(orjson.JSONDecodeError):
        said = orjson.loads(answer.body)
    message = said.get("message") if isinstance(said, dict) else None
    text = f"{answer.status} {message or ''}".strip()[:MOST_ERROR_CHARACTERS]
    wait = _wait(answer.headers)
    # A limit is 429, or 403 with a sign of when it ends.
    limited = answer.status == 429 or (answer.status == 403 and wait is not None)
    if limited or answer.status >= 500 or answer.status == 408:
        raise TryAgain(text, wait)
    if answer.status >= 300:
        raise Rejected(text)
    return said


def _wait(headers: Mapping[str, str]) -> float | None:
    """How long to wait: `Retry-After`, or the reset of a budget that is used up."""
    seconds = headers.get("retry-after", "")
    reset = headers.get("x-ratelimit-reset", "")
    wait = None
    if seconds.isdecimal():
        wait = float(seconds)
    elif headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        wait = max(float(reset) - time.time(), 1.0)
    return None if wait is None else min(wait, MOST_WAIT_SECONDS)
