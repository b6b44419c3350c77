"""Where the work of the simulated fleet comes from: signed webhooks, as Linear sends them."""

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
from typing import Final

from bench.connections import Caller, Connection

PATH: Final = "/api/webhooks/ingest/linear"

RETRY_SECONDS: Final = 0.2

TITLES: Final = (
    "Refunds lose their currency",
    "The export forgets the last row",
    "Login is slow on Mondays",
    "Dates are wrong across midnight",
    "Search finds deleted notes",
    "The invoice rounds twice",
)


class Source:
    """Sends one event after the other; each opens a session for an issue of its own."""

    def __init__(self, port: int, secret: str, workspace: str) -> None:
        self._caller: Final = Caller(port)
        self._secret: Final = secret.encode()
        self._workspace: Final = workspace
        self._numbers: Final = itertools.count(1)
        self._run: Final = secrets.token_hex(3)
        self.sent: Final[list[str]] = []
        """The ids of the sessions whose events were answered with 200."""

    async def send(self) -> str:
        """Send one; the id of its session. `RuntimeError` with the answer when it is refused."""
        number = next(self._numbers)
        session_id = f"demo-{self._run}-{number}"
        event = {
            "type": "AgentSessionEvent",
            "action": "created",
            "organizationId": self._workspace,
            "agentSession": {
                "id": session_id,
                "issue": {
                    "id": f"issue-{self._run}-{number}",
                    "identifier": f"DEMO-{number}",
                    "title": TITLES[number % len(TITLES)],
                },
            },
            "promptContext": "<issue>Find the cause and mend it.</issue>",
        }
        body = json.dumps(event).encode()
        message = self._message(body, f"{self._run}-{number}")
        while True:
            try:
                connection: Connection = await self._caller.connect()
                answer = await connection.ask(message)
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status == 200:
                self.sent.append(session_id)
                return session_id
            if answer.status != 503:
                raise RuntimeError(f"the webhook was answered {answer.status}: {answer.body!r}")
            await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._caller.close()

    def _message(self, body: bytes, delivery: str) -> bytes:
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nLinear-Signature: {signature}\r\n"
            f"Linear-Delivery: {delivery}\r\n\r\n"
        )
        return head.encode() + body
