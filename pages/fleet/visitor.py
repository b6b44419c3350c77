"""Who looks at the fleet page, at what, and what the page says when it says no."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import contract
import settings
from auth import schemes
from auth.scopes import authorize
from domain import errors
from domain.principal import Principal
from pages.fleet.charts import SPANS, Span
from pages.fleet.rendering import HEADERS, answer
from persistence.fleet import STATES, View

MOST_FORM_BYTES: Final = 1024 * 1024

DONE: Final = {
    "prompted": "The prompt is on its way.",
    "stopped": "The session is stopped.",
    "replayed": "The event is back in its line.",
    "signed-out": "You are signed out.",
}
"""What the page says of what was done, by the word that the address carries."""

STATUS: Final[dict[type[Exception], int]] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    contract.BodyTooLarge: 413,
    contract.Malformed: 400,
}


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks, and at what."""

    user: Principal
    span: Span
    state: str

    @property
    def org_id(self) -> str:
        return str(self.user.org_id)

    @property
    def view(self) -> View:
        """The same, as the queries know it."""
        return View(self.span.seconds, self.span.column_seconds, self.state)

    def may(self, operation_id: str) -> bool:
        """Whether the operation would be granted."""
        try:
            authorize(self.user, operation_id)
        except (errors.Forbidden, errors.Unauthenticated):
            return False
        return True

    def address(self, **other: str) -> str:
        """The page as it is looked at, with something else chosen."""
        chosen = {"span": self.span.name, "state": self.state, **other}
        if chosen["span"] == SPANS[0].name:
            del chosen["span"]
        query = "&".join(f"{name}={quote(value)}" for name, value in chosen.items() if value)
        return "/fleet" + (f"?{query}" if query else "")


async def visit(request: Request) -> Visit:
    """Who looks; raises `Unauthenticated` without a living browser session."""
    user = await schemes.authenticate(view_of(request), ("cookieAuth",))
    if not isinstance(user, Principal):
        raise errors.Unauthenticated("Sign in first")
    return Visit(user, *_chosen(request.query_params))


def _chosen(query: QueryParams) -> tuple[Span, str]:
    span = next((each for each in SPANS if each.name == query.get("span")), SPANS[0])
    state = query.get("state", "")
    return span, state if state in STATES else ""


def view_of(request: Request) -> contract.Request:
    """The request as authentication reads it."""
    return contract.Request(request.scope, request.receive, MOST_FORM_BYTES)


def is_signed_in(request: Request) -> bool:
    """Whether the browser shows a cookie at all, good or not."""
    return schemes.COOKIE in request.cookies


def by_script(request: Request) -> bool:
    """Whether the page's own script asks, which reads JSON."""
    return request.headers.get("accept", "") == "application/json"


def said_of(request: Request) -> str | None:
    """What was done just now."""
    return DONE.get(request.query_params.get("did", ""))


def form(request: Request, text: str | None = None, status: int = 200) -> Response:
    """The form to sign in; it says where it works, since a cookie is for one address only."""
    own = settings.current().own_address
    there = own.partition("://")[2] == request.headers.get("host", "")
    elsewhere = None if there else f"{own}/fleet"
    return answer("sign_in.html", status, text=text, elsewhere=elsewhere, said=said_of(request))


async def refuse(request: Request, error: Exception) -> Response:
    """The answer to a refusal: the form to sign in, or a page that says why."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if by_script(request):
        return JSONResponse({"said": str(error)}, status, HEADERS)
    if status == 401:
        return form(request, str(error), 401)
    response = answer("refused.html", status, text=str(error), back="/fleet")
    if isinstance(error, errors.TooMany | errors.Unavailable):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def no_page(request: Request, error: Exception) -> Response:
    """The answer to an address or a method that the page does not have."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = "That is done from the page; go there" if status == 405 else "Page not found"
    return answer("refused.html", status, text=text, back="/fleet")
