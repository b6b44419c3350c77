"""Connexion's own stack, serving the same contract, to compare ours with."""

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

from connexion import AsyncApp  # type: ignore[import-untyped]
from connexion.exceptions import ProblemException  # type: ignore[import-untyped]
from connexion.lifecycle import ConnexionResponse  # type: ignore[import-untyped]
from connexion.options import SwaggerUIOptions  # type: ignore[import-untyped]
from connexion.resolver import Resolution, Resolver  # type: ignore[import-untyped]
from starlette.exceptions import HTTPException

from contract import Contract
from contract.handlers import Handler

_HERE: Final = "tests.contract_stack.stock"
_FUNCTIONS: Final = {
    "http": ("x-bearerInfoFunc", f"{_HERE}.bearer_info"),
    "apiKey": ("x-apikeyInfoFunc", f"{_HERE}.key_info"),
}


def bearer_info(token: str) -> dict[str, Any] | None:
    """Who a bearer is."""
    return {"sub": "somebody"} if token == "good" else None


def key_info(key: str, required_scopes: Any = None) -> dict[str, Any] | None:
    """Whose key it is."""
    return {"sub": "somebody"} if key == "good" else None


class _ByOperationId(Resolver):  # type: ignore[misc]
    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        super().__init__()
        self._handlers = handlers

    def resolve(self, operation: Any) -> Resolution:
        return Resolution(self._handlers[operation.operation_id], operation.operation_id)


def stock_app(contract: Contract, handlers: Mapping[str, Handler]) -> Any:
    """`AsyncApp` with responses validated, its problems put into our envelope.

    `handlers` are by operationId.
    """
    spec = copy.deepcopy(contract.spec)
    for scheme in spec.get("components", {}).get("securitySchemes", {}).values():
        keyword, function = _FUNCTIONS[scheme["type"]]
        scheme[keyword] = function
    app = AsyncApp(
        "stock",
        pythonic_params=True,
        validate_responses=True,
        swagger_ui_options=SwaggerUIOptions(swagger_ui=False, serve_spec=False),
        resolver=_ByOperationId(handlers),
    )
    app.add_api(spec)
    app.add_error_handler(ProblemException, _problem)
    app.add_error_handler(HTTPException, _http)
    app.add_error_handler(Exception, _accident)
    return app


def _problem(_: Any, error: ProblemException) -> ConnexionResponse:
    return _envelope(error.status, error.detail or error.title, error.headers)


def _http(_: Any, error: HTTPException) -> ConnexionResponse:
    return _envelope(error.status_code, error.detail, error.headers)


def _accident(_: Any, error: Exception) -> ConnexionResponse:
    return _envelope(500, "", None)


def _envelope(status: int, text: Any, headers: Mapping[str, str] | None) -> ConnexionResponse:
    body = {"error": "Internal server error" if status >= 500 else str(text)}
    return ConnexionResponse(
        status_code=status,
        content_type="application/json",
        body=json.dumps(body),
        headers=dict(headers or {}),
    )
