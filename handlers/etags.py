"""`ETag` and `If-Match`: who changes a thing says which state of it was read."""

from typing import Any, Final

from domain.errors import PreconditionFailed, PreconditionRequired

ANY: Final = "*"


def etag(version: int) -> dict[str, str]:
    """The header of an answer that shows a thing at a version."""
    return {"ETag": f'"{version}"'}


def require_match(request: Any, version: int, *, needed: bool = False) -> None:
    """Refuse a change that was made from another version; without `If-Match`, only if `needed`.

    What is no tag matches nothing, nor does a weak one (RFC 9110, 13.1.1).
    """
    given = request.headers.getlist("if-match")
    if not given:
        if needed:
            raise PreconditionRequired
        return
    tags = {tag.strip() for each in given for tag in each.split(",")}
    if not tags & {ANY, f'"{version}"'}:
        raise PreconditionFailed
