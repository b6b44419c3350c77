"""Security: who is asking, and whether they may, before a byte of the body is read."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from contract.operations import PlannedAPI, PlannedMiddleware, Served
from contract.plans import Plan
from contract.request import REQUEST, Request

Authenticate = Callable[[Request, tuple[str, ...]], Awaitable[Any]]
"""Says who is asking, given the alternatives; raises to refuse."""

Authorize = Callable[[Any, str], None]
"""Lets a user call an operation, or raises to refuse."""


class SecurityAPI(PlannedAPI):
    """The contract's operations behind their security."""

    def __init__(
        self, *args: Any, authenticate: Authenticate, authorize: Authorize, **kwargs: Any
    ) -> None:
        self._authenticate = authenticate
        self._authorize = authorize
        super().__init__(*args, **kwargs)

    def serve(self, plan: Plan) -> Served:
        """A callable that asks both questions; for a public operation the next layer itself."""
        next_app: Served = self.next_app
        if not plan.operation.security:
            return next_app
        authenticate, authorize = self._authenticate, self._authorize
        alternatives, operation_id = plan.operation.security, plan.operation.id

        # One call decides over all alternatives. Connexion tries them one by one, and so
        # lets a bad credential fall through to another scheme or to anonymous.
        async def secured(scope: Scope, receive: Receive, send: Send) -> None:
            request: Request = scope[REQUEST]
            request.user = await authenticate(request, alternatives)
            authorize(request.user, operation_id)
            await next_app(scope, receive, send)

        return secured


class Security(PlannedMiddleware):
    """Connexion's security layer, replaced."""

    api_cls = SecurityAPI
