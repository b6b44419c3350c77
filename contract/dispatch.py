"""Dispatch: operationId -> function, and the one seam that every reply passes."""

from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from contract.errors import NoSuchPath
from contract.framework import Resolution, Resolver
from contract.handlers import REQUEST_ARGUMENT, USER
from contract.operations import PlannedAPI, PlannedMiddleware, Served
from contract.plans import Plan
from contract.request import REQUEST, Request


class HandlerResolver(Resolver):  # type: ignore[misc]
    """Tells Connexion which function an operationId means."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        super().__init__()
        self._plans = plans

    def resolve(self, operation: Any) -> Resolution:
        """The handler of the operation's plan."""
        return Resolution(self._plans[operation.operation_id].handler, operation.operation_id)


class DispatchAPI(PlannedAPI):
    """The contract's operations as calls of their handlers."""

    def serve(self, plan: Plan) -> Served:
        """A callable that calls the handler and sends what it returns."""
        handler, responses = plan.handler, plan.responses
        wants_user, wants_request = plan.wants_user, plan.wants_request

        async def dispatched(scope: Scope, receive: Receive, send: Send) -> None:
            request: Request = scope[REQUEST]
            arguments = request.arguments
            if wants_user:
                arguments[USER] = request.user
            if wants_request:
                arguments[REQUEST_ARGUMENT] = request
            answer = await handler(**arguments)
            if isinstance(answer, Response):
                responses.check(answer)
                await answer(scope, receive, noting(request, send))
                return
            start, body = responses.messages(answer)
            request.answered = True
            await send(start)
            await send(body)

        return dispatched


class Dispatch(PlannedMiddleware):
    """The application inside Connexion's middlewares."""

    api_cls = DispatchAPI

    def __init__(self) -> None:
        super().__init__(_nothing)


def noting(request: Request, send: Send) -> Send:
    """A `send` that notes in the request that an answer has begun."""

    async def noted(message: Message) -> None:
        request.answered = True
        await send(message)

    return noted


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    # Routing has refused whatever no operation serves, so this only guards against a gap.
    raise NoSuchPath
