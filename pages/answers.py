"""How pages travel: compressed, revalidated, and kept once they are made."""

import gzip
import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Final

from flask import request
from werkzeug.wrappers import Response

_LEVEL: Final = 6
_WORTH: Final = 600
"""Smaller answers gain nothing by compressing."""

_TEXT: Final = ("text/", "application/json", "application/javascript", "image/svg+xml")
_YEAR: Final = 31_536_000


def kept(view: Callable[..., str]) -> Callable[..., Response]:
    """Make a page at its first reading and keep it, compressed: the contract never changes while
    the process runs. What a view refuses is not kept."""
    made: dict[str, bytes] = {}

    @wraps(view)
    def read(**given: str) -> Response:
        found = made.get(request.path)
        if found is None:
            found = made[request.path] = _zip(view(**given).encode())
        if not _takes_gzip():
            return Response(gzip.decompress(found), mimetype="text/html")
        answer = Response(found, mimetype="text/html")
        answer.headers["Content-Encoding"] = "gzip"
        return answer

    return read


def travel(answer: Response) -> Response:
    """Compress what is worth it and let the browser keep it as long as it stays the same.

    What streams, or says by itself how it may be kept, is left alone.
    """
    named = request.endpoint == "static" and "v" in request.args
    if answer.status_code not in {200, 304} or request.method not in {"GET", "HEAD"}:
        return answer
    if request.endpoint == "static":
        answer.headers["Cache-Control"] = (
            f"public, max-age={_YEAR}, immutable" if named else "no-cache"
        )
        answer.direct_passthrough = False
    elif answer.is_streamed or "Cache-Control" in answer.headers:
        return answer
    else:
        answer.headers["Cache-Control"] = "no-cache"
    if answer.status_code == 304 or not (answer.mimetype or "").startswith(_TEXT):
        return answer
    answer.vary.add("Accept-Encoding")
    body = answer.get_data()
    if len(body) >= _WORTH and _takes_gzip() and "Content-Encoding" not in answer.headers:
        body = _zip(body)
        answer.set_data(body)
        answer.headers["Content-Encoding"] = "gzip"
    # Each encoding is a representation of its own, and so has a tag of its own.
    answer.set_etag(hashlib.sha256(body).hexdigest()[:20])
    return answer.make_conditional(request.environ)


def _takes_gzip() -> bool:
    return request.accept_encodings.quality("gzip") > 0


def _zip(body: bytes) -> bytes:
    # The time is left out: equal pages are equal bytes in every process.
    return gzip.compress(body, _LEVEL, mtime=0)
