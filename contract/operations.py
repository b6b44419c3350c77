"""The base of the layers that work by operation, on Connexion's routed middleware."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.framework import ROUTING_CONTEXT, RoutedAPI, RoutedMiddleware
from contract.plans import Plan

Served = Callable[[Scope, Receive, Send], Awaitable[None]]


class PlannedAPI(RoutedAPI):  # type: ignore[misc]
    """One contract as one layer sees it: an ASGI callable per operation, made at start."""

    def __init__(
        self, specification: Any, *, plans: Mapping[str, Plan], next_app: ASGIApp, **kwargs: Any
    ) -> None:
        super().__init__(specification, next_app=next_app, **kwargs)
        self.plans = plans
        self.add_paths()

    def make_operation(self, operation: Any) -> Served:
        """Make the layer's callable for one operation of Connexion's reading."""
        return self.serve(self.plans[operation.operation_id])

    def serve(self, plan: Plan) -> Served:
        """Make the layer's callable for one plan."""
        raise NotImplementedError


class PlannedMiddleware(RoutedMiddleware):  # type: ignore[misc]
    """A layer that finds its callable by operationId.

    Connexion's own look-up allows for several contracts and for requests without an
    operation; here there is one contract, and routing has refused all other requests.
    """

    def __init__(self, next_app: ASGIApp) -> None:
        super().__init__(next_app)
        self._served: dict[str, Served] = {}

    def add_api(self, specification: Any, **kwargs: Any) -> Any:
        """Take in the contract."""
        api = super().add_api(specification, **kwargs)
        self._served.update(api.operations)
        return api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the callable of its operation."""
        operation_id = scope["extensions"][ROUTING_CONTEXT]["operation_id"]
        await self._served[operation_id](scope, receive, send)
