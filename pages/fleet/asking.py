"""A public operation, called for the browser that asks: with its own cookie, Origin and address.

So whatever the page does is authenticated, authorized, limited and audited as if the browser had
called the operation itself, and there is no second way to do it.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

HANDED_ON: Final = (b"host", b"cookie", b"origin", b"sec-fetch-site", b"x-forwarded-for")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the operation said."""

    status: int
    headers: Headers
    body: dict[str, Any]

    @property
    def refusal(self) -> str | None:
        """Why it was not done; None when it was."""
        return None if self.status < 400 else str(self.body.get("error") or "It was refused")


async def ask(
    api: ASGIApp,
    browser: Scope,
    method: str,
    path: str,
    body: Any = None,
    bearer: str | None = None,
) -> Answer:
    """Call an operation that answers JSON; with `bearer`, as that and not as the cookie."""
    sent = b"" if body is None else orjson.dumps(body)
    headers = [
        (name, value)
        for name, value in browser["headers"]
        if name in HANDED_ON and not (bearer and name == b"cookie")
    ]
    headers.append((b"content-length", str(len(sent)).encode()))
    if sent:
        headers.append((b"content-type", b"application/json"))
    if bearer:
        headers.append((b"authorization", f"Bearer {bearer}".encode()))
    scope = {
        "type": "http",
        "asgi": browser["asgi"],
        "http_version": browser.get("http_version", "1.1"),
        "scheme": browser["scheme"],
        "server": browser.get("server"),
        "client": browser.get("client"),
        "root_path": "",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    status, answered, parts = 500, Headers(), []

    async def receive() -> Message:
        return {"type": "http.request", "body": sent, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status, answered = message["status"], Headers(raw=list(message.get("headers", ())))
        else:
            parts.append(message.get("body", b""))

    await api(scope, receive, send)
    said = orjson.loads(b"".join(parts) or b"{}")
    return Answer(status, answered, said if isinstance(said, dict) else {})
