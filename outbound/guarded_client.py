"""The one client that opens outbound HTTP connections.

Whatever address it is given, by a setting, a card or a caller, it reaches public servers by https
and nothing else: not this machine, not its network, not a cloud's metadata. A name is resolved
once, every address it resolves to is judged, and the connection goes to one of those; the name
itself stays in `Host` and in the TLS handshake. `RENSEI_ALLOWED_PRIVATE_HOSTS` opens single hosts.

`GuardedTransport` holds the guard, so that a library which wants an httpx client gets a guarded one
from `for_library(...)`: without redirects, proxies or cookies.
"""

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, Self

import httpcore
import httpx

from outbound.addresses import FOR_SELF_HOSTERS, is_listed, is_odd_spelling, kind_of

MOST_BYTES: Final = 1024 * 1024
MOST_HEADER_BYTES: Final = 32 * 1024
MOST_REDIRECTS: Final = 3
TOTAL_SECONDS: Final = 10.0
MOST_CONNECTIONS: Final = 20

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
KEPT_ACROSS_HOSTS: Final = frozenset({"accept", "accept-encoding", "content-type", "user-agent"})
"""A redirect to another host takes these headers along and drops the rest, credentials first."""

TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that say nothing for good."""

PORTS: Final = {"https": 443, "http": 80}

HttpClient = httpx.AsyncClient
"""What libraries are handed; `for_library` makes it."""

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Refused(Exception):
    """The guard does not go there; trying again will not help."""


class Failed(Exception):
    """There is no usable answer: unreachable, too slow, too large, or not HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: httpx.Headers
    body: bytes


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system's resolver gives them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class GuardedClient:
    """Asks others, within limits. Use it as a context manager; it keeps connections meanwhile."""

    def __init__(
        self,
        allowed_private_hosts: Collection[str] = (),
        *,
        most_bytes: int = MOST_BYTES,
        most_redirects: int = MOST_REDIRECTS,
        total_seconds: float = TOTAL_SECONDS,
        resolve: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._most_redirects = most_redirects
        self._total_seconds = total_seconds
        self._http = for_library(
            allowed_private_hosts,
            most_bytes=most_bytes,
            step_seconds=total_seconds,
            resolve=resolve,
            trust=trust,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Ask and read the whole answer; raises `Refused` or `Failed`."""
        try:
            request = self._http.build_request(method, url, headers=headers, content=content)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise Refused(f"not an address: {error}") from None
        try:
            async with asyncio.timeout(self._total_seconds):
                return await self._follow(request)
        except TimeoutError:
            raise Failed(f"no answer within {self._total_seconds:g} s") from None
        # httpx looks at where a redirect leads even if it is not to follow it.
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failed(f"no answer: {type(error).__name__}") from error

    async def _follow(self, request: httpx.Request) -> Answer:
        for _ in range(self._most_redirects + 1):
            answer = await self._http.send(request, stream=True, follow_redirects=False)
            try:
                location = answer.headers.get("location")
                if answer.status_code not in REDIRECTS or location is None:
                    body = b"".join([chunk async for chunk in answer.aiter_raw()])
                    return Answer(answer.status_code, answer.headers, body)
            finally:
                await answer.aclose()
            request = self._next(request, answer.status_code, location)
        raise Failed(f"more than {self._most_redirects} redirects")

    def _next(self, request: httpx.Request, status: int, location: str) -> httpx.Request:
        """The request that a redirect asks for; the transport judges it like the first."""
        try:
            url = request.url.join(location)
        except (httpx.InvalidURL, ValueError) as error:
            raise Refused(f"redirected to what is not an address: {error}") from None
        becomes_get = status == 303 or (status in {301, 302} and request.method == "POST")
        method = "GET" if becomes_get and request.method != "HEAD" else request.method
        content = None if becomes_get else request.content
        dropped = {"host", "content-length", "transfer-encoding"}
        headers = {k: v for k, v in request.headers.items() if k not in dropped}
        if _origin(url) != _origin(request.url):
            if content:
                raise Refused("a redirect would carry the request's body to another host")
            headers = {k: v for k, v in headers.items() if k in KEPT_ACROSS_HOSTS}
        if not content:
            headers.pop("content-type", None)
        return self._http.build_request(method, url, headers=headers, content=content or None)


def for_library(
    allowed_private_hosts: Collection[str] = (),
    *,
    most_bytes: int = MOST_BYTES,
    step_seconds: float = TOTAL_SECONDS,
    resolve: Resolve = resolve,
    trust: ssl.SSLContext | None = None,
) -> HttpClient:
    """An httpx client for a library that asks others by itself: its every request is guarded, and
    it follows no redirect.

    `step_seconds` bounds each wait for the next bytes; who calls the library bounds the whole. What
    the guard has to say comes through the library as `Refused` or `Failed`.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(
            allowed_private_hosts, most_bytes=most_bytes, resolve=resolve, trust=trust
        ),
        timeout=httpx.Timeout(step_seconds),
        follow_redirects=False,
        # Neither proxies of the environment nor another request's cookies have a say.
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "rensei-server"},
    )


def may_pass(error: BaseException | None) -> bool:
    """Whether what a library's client raised is trouble that may be over when it is tried again."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in TRANSIENT
    return isinstance(error, httpx.RequestError)


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that judges every request, connects only where it may, and stops reading
    when an answer is too large."""

    def __init__(
        self,
        allowed_private_hosts: Collection[str] = (),
        *,
        most_bytes: int = MOST_BYTES,
        resolve: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed_private_hosts
        self._most_bytes = most_bytes
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or _trust(),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=5,
            network_backend=_Network(allowed_private_hosts, resolve),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        judge(request.url, self._allowed)
        # A compressed answer could unfold to any size, so none is asked for and none is taken.
        request.headers["Accept-Encoding"] = "identity"
        with _as_failures():
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        stream = _Bounded(answer.stream, self._most_bytes)
        headers = httpx.Headers(answer.headers)
        complaint = None
        if sum(len(name) + len(value) for name, value in answer.headers) > MOST_HEADER_BYTES:
            complaint = f"the answer's headers are larger than {MOST_HEADER_BYTES} bytes"
        elif headers.get("content-encoding", "identity").lower() != "identity":
            complaint = "the answer is compressed"
        elif _announced(headers) > self._most_bytes:
            complaint = f"the answer is larger than {self._most_bytes} bytes"
        if complaint:
            await stream.aclose()
            raise Failed(complaint)
        return httpx.Response(
            answer.status, headers=headers, stream=stream, extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


def check(address: str, allowed_private_hosts: Collection[str]) -> None:
    """Refuse an address that can be known to lead nowhere good without asking anybody.

    Where a name leads is judged whenever it is asked.
    """
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise Refused(f"not an address: {error}") from None
    judge(url, allowed_private_hosts)
    host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    _judge_address(host, port, host, allowed_private_hosts)


def judge(url: httpx.URL, allowed_private_hosts: Collection[str]) -> None:
    """Refuse what an address shows by itself; where its name leads is judged on connecting."""
    host, port = url.raw_host.decode("ascii"), url.port or PORTS.get(url.scheme, 0)
    if url.userinfo:
        raise Refused("an address must not carry credentials")
    if url.scheme not in PORTS:
        raise Refused(f"{url.scheme or 'no scheme'} is not https")
    if url.scheme != "https" and not is_listed(host, port, allowed_private_hosts):
        raise Refused("http is not https, and the host is not in RENSEI_ALLOWED_PRIVATE_HOSTS")
    if is_odd_spelling(host):
        raise Refused(f"{host} is an odd spelling of an address")
    if not re.fullmatch(r"[a-z0-9._-]{1,253}", host):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise Refused(f"{host!r} is not a host") from None
        if "%" in host:
            raise Refused("an address must not name a network interface")


class _Network(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that were judged, never to names."""

    def __init__(self, allowed_private_hosts: Collection[str], resolve: Resolve) -> None:
        self._allowed = allowed_private_hosts
        self._resolve = resolve
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise Failed(f"{host} has no address") from error
        for address in addresses:
            _judge_address(host, port, address, self._allowed)
        for address in addresses[:-1]:
            try:
                return await self._sockets.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        if not addresses:
            raise Failed(f"{host} has no address")
        return await self._sockets.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _judge_address(
    host: str, port: int, address: str, allowed_private_hosts: Collection[str]
) -> None:
    """Refuse an address that a host led to."""
    try:
        kind = kind_of(ipaddress.ip_address(address))
    except ValueError:
        kind = "strange"
    if kind is None:
        return
    if kind in FOR_SELF_HOSTERS and is_listed(host, port, allowed_private_hosts):
        return
    # The address itself is not told: who gave the name need not learn what it leads to.
    raise Refused(f"{host} leads to a {kind} address")


class _Bounded(httpx.AsyncByteStream):
    """An answer's bytes, up to a limit."""

    def __init__(self, stream: Any, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        with _as_failures():
            async for chunk in self._stream:
                read += len(chunk)
                if read > self._most_bytes:
                    raise Failed(f"the answer is larger than {self._most_bytes} bytes")
                yield chunk

    async def aclose(self) -> None:
        with _as_failures():
            await self._stream.aclose()


@contextmanager
def _as_failures() -> Iterator[None]:
    try:
        yield
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise Failed(f"no answer: {type(error).__name__}") from error
    except (httpcore.UnsupportedProtocol, ssl.SSLError, OSError) as error:
        raise Failed(f"no connection: {type(error).__name__}") from error


def _announced(headers: httpx.Headers) -> int:
    """The length that an answer says it has; 0 for none that can be read."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else 0


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or PORTS.get(url.scheme, 0)


@functools.cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted, loaded once; `SSL_CERT_FILE` replaces them."""
    return httpx.create_ssl_context()
