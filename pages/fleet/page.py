"""The addresses under `/fleet`: the page, its parts anew, a session, what is done from there."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import contract
import settings
from auth.scopes import RULES, authorize
from domain import errors
from pages.fleet.acts import Acts
from pages.fleet.charts import SPANS
from pages.fleet.rendering import answer
from pages.fleet.view import session, shown
from pages.fleet.visitor import Visit, form, is_signed_in, no_page, refuse, said_of, visit
from persistence import fleet
from services import audit_verification

AUDIT_ROWS: Final = 8

PARTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "glance": ("getPublicStats", ("workers", "queue", "states")),
    "charts": ("getPublicStats", ("charts",)),
    "sessions": ("listPublicSessions", ("sessions", "queue", "states")),
    "feed": ("streamEvents", ("feed",)),
    "workers": ("getPublicStats", ("workers",)),
    "webhooks": ("listWebhookEvents", ("webhooks",)),
    "audit": ("listAuditEvents", ()),
}
"""The parts of the page: the operation whose scope opens each, and what is read for it."""


def create_fleet(api: ASGIApp) -> ASGIApp:
    """Make the application that serves `/fleet`; `api` is the contract's, by which it acts."""
    acts = Acts(api)
    return Starlette(
        routes=[
            Route("/fleet", _page),
            Route("/fleet/parts", _parts),
            Route("/fleet/sessions/{id}", _session),
            Route("/fleet/sign-in", acts.sign_in, methods=["POST"]),
            Route("/fleet/sign-out", acts.sign_out, methods=["POST"]),
            Route("/fleet/sessions/{id}/prompt", acts.prompt, methods=["POST"]),
            Route("/fleet/sessions/{id}/stop", acts.stop, methods=["POST"]),
            Route("/fleet/webhooks/{id}/replay", acts.replay, methods=["POST"]),
        ],
        exception_handlers={
            errors.Refusal: refuse,
            contract.Refused: refuse,
            HTTPException: no_page,
        },
    )


async def _page(request: Request) -> Response:
    """The whole page, or the form to sign in."""
    if not is_signed_in(request):
        return form(request)
    looked = await visit(request)
    names = _seen(looked, PARTS)
    closed = {
        RULES[operation].scope for operation, _ in PARTS.values() if not looked.may(operation)
    }
    return answer(
        "page.html",
        **await _given(looked, ["who"], names),
        said=said_of(request),
        closed=sorted(closed),
    )


async def _parts(request: Request) -> Response:
    """Some parts of the page as they are now, without those that the credential may not see."""
    looked = await visit(request)
    names = _seen(looked, request.query_params.get("parts", "").split(","))
    return answer("parts.html", **await _given(looked, [], names))


async def _session(request: Request) -> Response:
    """One session: what its agent did last, and what can be done about it."""
    if not is_signed_in(request):
        return form(request)
    looked = await visit(request)
    authorize(looked.user, "getPublicSession")
    public_id = request.path_params["id"]
    row = await fleet.find_session(looked.org_id, looked.user.projects, public_id)
    if row is None:
        raise errors.NotFound("Session not found")
    values = row._asdict()
    return answer(
        "session.html",
        looked=looked,
        row=row,
        each=session(values, values),
        said=said_of(request),
    )


def _seen(looked: Visit, names: Collection[str]) -> list[str]:
    """Which of these parts the credential may see, in the order of the page."""
    return [name for name in PARTS if name in names and looked.may(PARTS[name][0])]


async def _given(looked: Visit, more: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """What the templates of these parts need. What may not be seen is not read."""
    lease_seconds = settings.current().lease_seconds
    wanted = dict.fromkeys([*more, *(each for name in names for each in PARTS[name][1])])
    read = await fleet.read(
        looked.org_id, looked.user.projects, looked.user.id, lease_seconds, wanted, looked.view
    )
    found = shown(read, looked.span, lease_seconds)
    if "audit" in names:
        found.audit = await audit_verification.newest(looked.org_id, AUDIT_ROWS)
    return {
        "looked": looked,
        "found": found,
        "parts": names,
        "spans": SPANS,
        "lease_seconds": lease_seconds,
    }
