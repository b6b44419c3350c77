"""Whether a call comes from a web page that has no business here.

A page of anywhere can point its own name at 127.0.0.1 and then talk to a server there, in the name
of whoever looks at it. The browser tells the truth in `Origin` and `Host`.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

import settings
from auth.schemes import RequestView
from domain.errors import Forbidden


def refuse_foreign_pages(request: RequestView) -> None:
    """Refuse another site's page, and a foreign name for a server on loopback.

    Programs send no `Origin`. Behind a proxy `Host` may be anything, so it counts only where the
    server's own address is loopback.
    """
    own = settings.current().own_address
    origin, host = request.headers.get("origin"), request.headers.get("host")
    is_local = _is_loopback(own)
    is_own = origin is None or _place(origin) == _place(own)
    if not is_own and not (is_local and _is_loopback(str(origin))):
        raise Forbidden(f"Pages of another site may not call this; its Origin must be {own}")
    if is_local and host is not None and not _is_loopback(f"http://{host}"):
        raise Forbidden(f"The server is reached as {own}, not under the name in Host")


def _place(address: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port


def _is_loopback(address: str) -> bool:
    try:
        name = urlsplit(address).hostname
    except ValueError:
        return False
    if name is None or name == "localhost":
        return name is not None
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
