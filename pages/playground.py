"""The playground's proxy: one call of one operation, made from its parts and never from a URL.

`POST /docs/playground/<operationId>` takes the values for the operation's parameters, the body as
text and a credential, builds the request that the contract describes, and hands it to this very
process: no socket is opened, so there is nowhere else that it could lead. What the browser sends
along by itself, cookies above all, ends here.

The answer travels as the body of a 200, and its status and headers as JSON in `Rensei-Answer`.
Sent as they are, a redirect would be followed, a cookie would be set, and a 401 would make the
browser ask for a password.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth.rebinding import refuse_foreign_pages
from auth.webhook_signatures import PROVIDERS
from contract import (
    BodyTooLarge,
    Contract,
    Disconnected,
    MethodNotAllowed,
    Operation,
    Request,
    UnsupportedMedia,
)
from contract.references import resolved
from domain.errors import Forbidden, Invalid, NotFound

PREFIX: Final = "/docs/playground/"
ANSWER: Final = "Rensei-Answer"

MOST_BYTES: Final = 1_048_576
"""The limit of a whole call. Larger deliveries are for programs."""

Refuse = Callable[[Exception, Request], Response]

_JSON: Final = "application/json"
_PLACES: Final = ("path", "query", "header", "cookie")
_MEMBERS: Final = frozenset({*_PLACES, "credential", "contentType", "body"})
_CREDENTIAL_MEMBERS: Final = frozenset({"scheme", "value", "header"})
_SIGNATURES: Final = frozenset(name for each in PROVIDERS.values() for name in each.headers)

# What a value may not hold where it becomes a header, and where it becomes one cookie of several.
_CONTROL: Final = frozenset(map(chr, (*range(0x20), 0x7F)))
_COOKIE_ENDS: Final = frozenset(' ",;\\') | _CONTROL

# These belong to one connection (RFC 9110, 7.6.1), or would act on the browser.
_NOT_SHOWN: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"}
    | {b"upgrade"}
)

_HEADERS: Final = (
    (b"content-type", b"application/octet-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    # Or a proxy in front would keep the events of a stream until there are many.
    (b"x-accel-buffering", b"no"),
)


def create_playground(
    contract: Contract, api: ASGIApp, own_address: str, refuse: Refuse
) -> ASGIApp:
    """Make the application below `PREFIX`. `api` serves the contract; `refuse` words every no."""
    paths = [each.split("/")[1:] for each in contract.spec["paths"]]
    calls = {each.id: _Call(each, contract, paths, own_address) for each in contract.operations}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, MOST_BYTES)
        try:
            inner, body = await _understood(request, calls)
        except Disconnected:
            return
        except Exception as error:
            await _refused(error, request, refuse)(scope, receive, send)
            return
        await api(inner, _reading(body, receive), _telling(send))

    return serve


async def _understood(request: Request, calls: Mapping[str, "_Call"]) -> tuple[Scope, bytes]:
    """The call that a page of this server asks for; raises whatever stands against it."""
    call = calls.get(request.path.removeprefix(PREFIX))
    if call is None:
        raise NotFound("There is no such operation; the reference is at /docs/api/reference")
    if request.method != "POST":
        raise MethodNotAllowed(("POST",))
    refuse_foreign_pages(request)
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Forbidden("The playground is called by this server's own pages only")
    # No form of another site can have this type, and no script may send it without being asked.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON:
        raise UnsupportedMedia(kind or None, (_JSON,))
    return call.made(request, _read(await request.body()))


def _refused(error: Exception, request: Request, refuse: Refuse) -> Response:
    answer = refuse(error, request)
    if isinstance(error, MethodNotAllowed):
        answer.headers["allow"] = ", ".join(error.allow)
    if isinstance(error, BodyTooLarge):
        answer.headers["connection"] = "close"
    return answer


def _reading(body: bytes, receive: Receive) -> Receive:
    """The body in one piece; then whatever the browser's connection has to say."""
    given = False

    async def read() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read


def _telling(send: Send) -> Send:
    """An answer's head becomes the header `ANSWER`; its body passes as it comes."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in message.get("headers", ())
                if name.lower() not in _NOT_SHOWN
            ]
            # ASCII alone, whatever the headers hold: no value can end this header.
            told = json.dumps({"status": message["status"], "headers": headers})
            head = (ANSWER.lower().encode(), told.encode("ascii"))
            message = {"type": message["type"], "status": 200, "headers": [*_HEADERS, head]}
        await send(message)

    return tell


def _read(body: bytes) -> dict[str, Any]:
    """The members of a call, each of its type."""
    try:
        call = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"body: is not JSON: {error}") from None
    if not isinstance(call, dict):
        raise Invalid("body: must be an object")
    for name in call.keys() - _MEMBERS:
        raise Invalid(f"body.{name}: is unknown; a call has {', '.join(sorted(_MEMBERS))}")
    for place in _PLACES:
        _check_values(call.setdefault(place, {}), place)
    for name in ("contentType", "body"):
        if call.setdefault(name, None) is not None and not isinstance(call[name], str):
            raise Invalid(f"body.{name}: must be a string")
    _check_credential(call.setdefault("credential", None))
    return call


def _check_values(values: Any, place: str) -> None:
    if not isinstance(values, dict):
        raise Invalid(f"body.{place}: must be an object")
    for name, value in values.items():
        many = place == "query" and isinstance(value, list)
        if not all(isinstance(each, str) for each in (value if many else [value])):
            raise Invalid(f"body.{place}.{name}: must be a string")


def _check_credential(credential: Any) -> None:
    if credential is None:
        return
    if not isinstance(credential, dict) or credential.keys() - _CREDENTIAL_MEMBERS:
        raise Invalid("body.credential: must be an object of scheme, value and header")
    if not all(isinstance(each, str) for each in credential.values()):
        raise Invalid("body.credential: its members must be strings")
    if not {"scheme", "value"} <= credential.keys():
        raise Invalid("body.credential: needs scheme and value")


class _Call:
    """One operation, and how a request to it is put together."""

    def __init__(
        self, operation: Operation, contract: Contract, paths: list[list[str]], own_address: str
    ) -> None:
        self._operation = operation
        self._own = own_address.rstrip("/")
        self._host = urlsplit(own_address).netloc
        self._schemes = {
            name: resolved(contract.spec, contract.spec["components"]["securitySchemes"][name])
            for name in operation.security
            if name
        }
        self._segments = operation.path.split("/")[1:]
        self._rivals = [
            each for each in paths if len(each) == len(self._segments) and each != self._segments
        ]
        self._declared = {
            (each["in"], _key(each["in"], each["name"])) for each in operation.parameters
        }
        body = operation.raw.get("requestBody")
        self._types = tuple(resolved(contract.spec, body)["content"]) if body else ()

    def made(self, request: Request, call: dict[str, Any]) -> tuple[Scope, bytes]:
        """The scope and the body of the call; raises `Invalid` for what the operation lacks."""
        for place in _PLACES:
            self._known(place, call[place])
        path = self._path(call["path"])
        body = (call["body"] or "").encode("utf-8", "strict")
        headers = list(self._headers(request, call, len(body)))
        scope = {
            "type": "http",
            "asgi": request.scope["asgi"],
            "http_version": request.scope.get("http_version", "1.1"),
            "scheme": request.scope.get("scheme", "http"),
            "server": request.scope.get("server"),
            "client": request.scope.get("client"),
            "state": request.scope.get("state", {}),
            "root_path": "",
            "method": self._operation.method,
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": urlencode(call["query"], doseq=True).encode("ascii"),
            "headers": headers,
        }
        return scope, body

    def _known(self, place: str, values: Mapping[str, Any]) -> None:
        for name in values:
            if (place, _key(place, name)) not in self._declared:
                raise Invalid(f"body.{place}.{name}: the operation has no such parameter")

    def _path(self, values: Mapping[str, str]) -> str:
        segments = []
        for segment in self._segments:
            if not segment.startswith("{"):
                segments.append(segment)
                continue
            value = values.get(segment[1:-1], "")
            if not value:
                raise Invalid(f"body.path.{segment[1:-1]}: is required")
            segments.append(value)
        if any(self._leads_to(rival, segments) for rival in self._rivals):
            raise Invalid("body.path: with this value the path is that of another operation")
        return "/" + "/".join(quote(each, safe="") for each in segments)

    def _leads_to(self, rival: list[str], segments: list[str]) -> bool:
        """Whether routing prefers another path: a literal of its own, where ours has a value."""
        fits = all(
            theirs.startswith("{") or theirs == each
            for theirs, each in zip(rival, segments, strict=True)
        )
        return fits and any(
            ours.startswith("{") and not theirs.startswith("{")
            for ours, theirs in zip(self._segments, rival, strict=True)
        )

    def _headers(
        self, request: Request, call: dict[str, Any], length: int
    ) -> Iterator[tuple[bytes, bytes]]:
        yield b"host", self._host.encode()
        # The page that asks is this server's own, which `_understood` has made sure of.
        yield b"origin", self._own.encode()
        yield b"user-agent", b"rensei-playground"
        yield b"accept", b"*/*"
        for forwarded in request.headers.getlist("x-forwarded-for"):
            yield b"x-forwarded-for", forwarded.encode("latin-1")
        if call["body"] is not None:
            if call["contentType"] not in self._types:
                wanted = " or ".join(self._types) or "none, as there is no body"
                raise Invalid(f"body.contentType: the operation takes {wanted}")
            yield b"content-type", call["contentType"].encode()
            yield b"content-length", b"%d" % length
        for name, value in call["header"].items():
            yield name.lower().encode("latin-1"), _text(value, f"body.header.{name}")
        cookies = [f"{name}={_cookie(value, name)}" for name, value in call["cookie"].items()]
        if call["credential"] is not None:
            name, value = self._credential(call["credential"])
            if name == "cookie":
                cookies.append(value)
            else:
                yield name.encode(), _text(value, "body.credential.value")
        if cookies:
            yield b"cookie", "; ".join(cookies).encode("latin-1")

    def _credential(self, credential: Mapping[str, str]) -> tuple[str, str]:
        """The header that a credential becomes, and its value."""
        scheme = self._schemes.get(credential["scheme"])
        if scheme is None:
            takes = " or ".join(self._schemes) or "none"
            raise Invalid(f"body.credential.scheme: the operation takes {takes}")
        value = credential["value"].strip()
        if not value:
            raise Invalid("body.credential.value: is required")
        header = credential.get("header", "").lower()
        if header and not (scheme.get("in") == "header" and header in _SIGNATURES):
            raise Invalid("body.credential.header: names a header of signatures, and nothing else")
        if scheme["type"] == "http":
            return "authorization", f"Bearer {value}"
        if scheme["in"] == "cookie":
            return "cookie", f"{scheme['name']}={_cookie(value, 'credential')}"
        return header or scheme["name"].lower(), value


def _key(place: str, name: str) -> str:
    """A name as names of its place are compared."""
    return name.lower() if place == "header" else name


def _text(value: str, place: str) -> bytes:
    if not _CONTROL.isdisjoint(value):
        raise Invalid(f"{place}: must not contain a control character")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise Invalid(f"{place}: a header cannot carry {value!r}; use Latin letters") from None


def _cookie(value: str, name: str) -> str:
    if not _COOKIE_ENDS.isdisjoint(value) or not value.isascii():
        raise Invalid(f"body.cookie.{name}: a cookie has no spaces, quotes, commas or semicolons")
    return value
