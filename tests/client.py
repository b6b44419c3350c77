"""The test client: checks every answer it receives against the contract, refusals included."""

import json
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.templating.paths.datatypes import PathOperationServer
from openapi_core.templating.paths.exceptions import PathError
from openapi_core.templating.paths.finders import APICallPathFinder
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests import statuses
from tests.spec import CONTRACT, operation_of

BASE_URL = "http://127.0.0.1:8080"
PAGES = ("/docs", "/fleet", "/llms")
MOST_REMEMBERED = 1_000


@cache
def _judge() -> OpenAPI:
    return OpenAPI.from_dict(
        CONTRACT.spec,
        # To the judge, a stream that has ended is a text.
        config=Config(
            extra_media_type_deserializers={
                "text/event-stream": _text,
                "application/jwk-set+json": _json,
            },
            path_finder_cls=_Finder,
            # `make check` judges the contract itself.
            spec_validator_cls=None,
        ),
    )


class _Finder(APICallPathFinder):
    """Looks an operation up once; thousands of answers are judged by it."""

    _found: ClassVar[dict[tuple[str, str], PathOperationServer]] = {}

    def find(self, method: str, name: str) -> PathOperationServer:
        if (method, name) not in self._found:
            self._found[method, name] = super().find(method, name)
        return self._found[method, name]


def _text(content: bytes, **parameters: str) -> str:
    return content.decode(parameters.get("charset", "utf-8"))


def _json(content: bytes, **_: str) -> Any:
    return json.loads(content)


class _Asked:
    """A request as openapi-core wants to see it."""

    def __init__(self, request: httpx.Request) -> None:
        parts = urlsplit(str(request.url))
        self.host_url = f"{parts.scheme}://{parts.netloc}"
        self.path = "/" + parts.path.lstrip("/")
        operation = operation_of(request.method, self.path)
        self.path_pattern = operation.path if operation else self.path
        self.method = request.method.lower()
        self.body = request.content
        self.content_type = request.headers.get("content-type", "")
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(list(httpx.QueryParams(parts.query).multi_items())),
            header=Headers(list(request.headers.items())),
            cookie=ImmutableMultiDict(),
        )


class _Answered:
    """A response as openapi-core wants to see it."""

    def __init__(self, response: httpx.Response) -> None:
        self.data = response.content
        self.status_code = response.status_code
        self.content_type = response.headers.get("content-type", "")
        self.headers = Headers(list(response.headers.items()))


_good: set[tuple[Any, ...]] = set()
"""What was judged already: most refusals of an operation are the same to the letter."""


async def judge(response: httpx.Response) -> None:
    """Raise when an answer breaks the contract, or a refusal is not the envelope."""
    await response.aread()
    if response.request.url.path.startswith(PAGES) or response.request.url.path == "/":
        return
    statuses.note(
        response.request.method,
        response.request.url.path,
        response.status_code,
        response.headers.get("content-type", ""),
    )
    if response.status_code >= 400:
        body = response.json()
        if "jsonrpc" in body:
            assert response.request.url.path.startswith("/api/mcp/")
            assert set(body["error"]) <= {"code", "message", "data"}, body
            body = {"error": body["error"]["message"]}
        own = {"cancelled", "reason"} if body.get("cancelled") is False else set()
        assert set(body) <= {"error", "message", "error_description"} | own, body
        assert isinstance(body["error"], str), body
        assert body["error"], body
        assert "Traceback" not in response.text
    asked = _Asked(response.request)
    seen = (
        asked.method,
        asked.path_pattern,
        response.status_code,
        *response.headers.raw,
        response.content,
    )
    if seen in _good:
        return
    try:
        # mypy does not see that attributes will do where openapi-core's protocols have properties.
        _judge().validate_response(asked, _Answered(response))  # type: ignore[arg-type]
    except PathError:
        # A path or a method that the contract does not have can only be refused.
        assert response.status_code in {404, 405}, response.text
    if len(response.content) < MOST_REMEMBERED:
        _good.add(seen)


class Client(httpx.AsyncClient):
    """A caller of the application, by default at its own address and with no credential."""

    def __init__(self, application: Any, token: str | None = None, **more: Any) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(
            transport=httpx.ASGITransport(application, raise_app_exceptions=False),
            base_url=BASE_URL,
            headers={**headers, **more.pop("headers", {})},
            event_hooks={"response": [judge]},
            timeout=30,
            **more,
        )
