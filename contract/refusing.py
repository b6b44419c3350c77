"""The outermost layer: every exception becomes an answer made by `refuse`, and nothing else."""

import logging
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.dispatch import noting
from contract.errors import BodyTooLarge, Disconnected, MethodNotAllowed, ResponseBroken
from contract.framework import LifespanMiddleware
from contract.request import REQUEST, Request

Refuse = Callable[[Exception, Request], Response]
"""Makes the answer to any exception."""

_log = logging.getLogger(__name__)

_LAST_WORD = b'{"error":"Internal server error"}'

REQUEST_ID: Final = "x-request-id"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Refusing(LifespanMiddleware):  # type: ignore[misc]
    """Makes the `Request`, and answers for whatever the layers inside raise.

    It is Connexion's lifespan layer as well, so that a request passes one layer less.
    """

    def __init__(
        self, next_app: ASGIApp, *, lifespan: Any, refuse: Refuse, max_body_bytes: int
    ) -> None:
        super().__init__(next_app, lifespan=lifespan)
        self._refuse = refuse
        self._most = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of any kind."""
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        request = Request(scope, receive, self._most)
        scope[REQUEST] = request
        try:
            await self.next_app(scope, receive, send)
        except Disconnected:
            return
        except Exception as error:
            if request.answered:
                # Half an answer is out; only the server can break the connection off.
                raise
            await self._answer(error, request, scope, receive, send)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # No operation speaks it; closing before accepting is its way to say 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await super().__call__(scope, receive, send)

    async def _answer(
        self, error: Exception, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        for each in (error, ResponseBroken("the refusal itself failed")):
            try:
                response = self._refuse(each, request)
                if response.status_code == 500:
                    response.headers[REQUEST_ID] = _logged(each, request)
                _add_headers(each, response)
                await response(scope, receive, noting(request, send))
                return
            except Exception:
                if request.answered:
                    raise
                _log.exception("refusing %r failed", each)
        request.answered = True
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": _LAST_WORD})


def _logged(error: Exception, request: Request) -> str:
    """The id that a fault of ours has in the log and in its answer, so that one finds the other.

    A proxy's own id for the request is kept, as far as a log line can hold it.
    """
    given = request.headers.get(REQUEST_ID, "")
    made = given if _ID.fullmatch(given) else secrets.token_hex(8)
    if isinstance(error, ResponseBroken):
        _log.error("request %s: %s", made, error)
    else:
        _log.error("request %s: %s %s failed", made, request.method, request.path, exc_info=error)
    return made


def _add_headers(error: Exception, response: Response) -> None:
    """Headers that HTTP asks for, whatever the answer says."""
    if isinstance(error, MethodNotAllowed):
        response.headers["allow"] = ", ".join(error.allow)
    elif isinstance(error, BodyTooLarge):
        # The rest of the body is still on its way, and nobody will read it.
        response.headers["connection"] = "close"
