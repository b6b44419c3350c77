"""Validation: the request fits the contract, and becomes the handler's arguments."""

from starlette.types import Receive, Scope, Send

from contract.handlers import BODY
from contract.operations import PlannedAPI, PlannedMiddleware, Served
from contract.plans import Plan
from contract.request import REQUEST, Request


class ValidationAPI(PlannedAPI):
    """The contract's operations behind their compiled checks."""

    def serve(self, plan: Plan) -> Served:
        """A callable that leaves the arguments in the request, or raises a `Refused`."""
        next_app: Served = self.next_app
        parameters, body, wants_body = plan.parameters, plan.body, plan.wants_body

        async def validated(scope: Scope, receive: Receive, send: Send) -> None:
            request: Request = scope[REQUEST]
            request.arguments = parameters.read(request)
            if body is not None:
                # A body that the handler does not ask for is checked all the same.
                value = await body.read(request)
                if wants_body:
                    request.arguments[BODY] = value
            await next_app(scope, receive, send)

        return validated


class Validation(PlannedMiddleware):
    """Connexion's request and response validation, replaced: see `dispatch` for responses."""

    api_cls = ValidationAPI
