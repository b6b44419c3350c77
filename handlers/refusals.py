"""Every no, ours and the framework's, as `{"error": …}`: the one table that knows HTTP."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

import contract
from domain import errors
from domain.json_rpc import INVALID_REQUEST, PARSE_ERROR, refusal
from persistence import database

# The most specific class of an error decides.
STATUS: Final[dict[type[Exception], int]] = {
    contract.NoSuchPath: 404,
    contract.MethodNotAllowed: 405,
    contract.BodyTooLarge: 413,
    contract.UnsupportedMedia: 415,
    contract.Malformed: 400,
    contract.NotJson: 400,
    contract.ResponseBroken: 500,
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.Unprocessable: 422,
    errors.PreconditionRequired: 428,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}

INTERNAL: Final = "Internal server error"


def refuse(error: Exception, request: contract.Request) -> Response:
    """The answer to any exception; what nobody foresaw says nothing (`contract/` logs it)."""
    if database.is_away(error):
        error = errors.Unavailable("The database cannot be reached; try again")
    if isinstance(error, contract.Malformed | contract.UnsupportedMedia) and _is_token(request):
        error = errors.OAuthRefusal("invalid_request", str(error), STATUS[type(error)])
    if isinstance(error, errors.OAuthRefusal):
        body = {"error": error.code, "error_description": error.description}
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="rensei"'
        return _answer(error.status, body, headers)
    if isinstance(error, contract.Malformed) and _is_mcp(request):
        code = PARSE_ERROR if isinstance(error, contract.NotJson) else INVALID_REQUEST
        return _answer(400, refusal(code, str(error)), {})
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == 500:
        return _answer(500, {"error": INTERNAL}, {})
    return _answer(status, {"error": _text(error)}, _headers(error))


def _is_token(request: contract.Request) -> bool:
    """Whether the token endpoint was asked, whose refusals speak OAuth."""
    return request.operation is not None and request.operation.id == "issueM2MToken"


def _is_mcp(request: contract.Request) -> bool:
    """Whether agents were answered, whose clients read a JSON-RPC error where a message is bad."""
    return request.operation is not None and request.operation.id == "mcpCall"


def _text(error: Exception) -> str:
    if isinstance(error, contract.NoSuchPath):
        return "There is no such path; the reference is at /docs/api/reference"
    return str(error)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="rensei"'}
    if isinstance(error, errors.TooMany | errors.Unavailable):
        return {"Retry-After": str(error.retry_after)}
    return {}


def _answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), status, {**headers, "Content-Type": "application/json"})
