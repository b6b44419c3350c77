"""What is done from the fleet page: each by a public operation, for the browser that asks."""

from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from auth import schemes
from domain import errors
from pages.fleet.asking import Answer, ask
from pages.fleet.rendering import HEADERS, answer
from pages.fleet.visitor import DONE, by_script, form, view_of

SESSION = "/api/auth/session"


class Acts:
    """The forms' addresses. Nothing is done for a form that another site's page sends."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api

    async def sign_in(self, request: Request) -> Response:
        """Exchange the key for the cookie."""
        key = (await _own_form(request)).get("key", "").strip()
        if not key:
            return form(request, "Type in an API key", 400)
        said = await ask(self._api, request.scope, "POST", SESSION, bearer=key)
        if said.refusal is not None:
            return form(request, said.refusal, said.status)
        return _onward("/fleet", said)

    async def sign_out(self, request: Request) -> Response:
        """End the browser session, which clears the cookie."""
        await _own_form(request)
        said = await ask(self._api, request.scope, "DELETE", SESSION)
        # A session that has ended already is what was asked for.
        if said.refusal is not None and said.status != 401:
            return answer("refused.html", said.status, text=said.refusal, back="/fleet")
        return _onward("/fleet?did=signed-out", said)

    async def prompt(self, request: Request) -> Response:
        """Send a prompt to a session."""
        fields = await _own_form(request)
        # Browsers send line ends of two characters; agents are sent the one they know.
        body = {"prompt": fields.get("prompt", "").replace("\r\n", "\n")}
        path = f"/api/public/sessions/{_id(request)}/prompt"
        said = await ask(self._api, request.scope, "POST", path, body)
        return _told(request, said, "prompted", f"/fleet/sessions/{_id(request)}")

    async def stop(self, request: Request) -> Response:
        """Stop a session."""
        await _own_form(request)
        path = f"/api/public/sessions/{_id(request)}/stop"
        said = await ask(self._api, request.scope, "POST", path)
        return _told(request, said, "stopped", f"/fleet/sessions/{_id(request)}")

    async def replay(self, request: Request) -> Response:
        """Put an event back into its line."""
        await _own_form(request)
        path = f"/api/webhooks/events/{_id(request)}/replay"
        said = await ask(self._api, request.scope, "POST", path)
        return _told(request, said, "replayed", "/fleet")


def _id(request: Request) -> str:
    return quote(request.path_params["id"], safe="")


async def _own_form(request: Request) -> dict[str, str]:
    """The form's fields; raises `Forbidden` for what another site's page sends."""
    view = view_of(request)
    schemes.require_own_page(view)
    try:
        fields = parse_qs((await view.body()).decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise errors.Invalid("The form cannot be read") from None
    return {name: values[-1] for name, values in fields.items()}


def _onward(address: str, said: Answer) -> Response:
    """Lead the browser on, with the cookie that the operation set."""
    response = RedirectResponse(address, 303, HEADERS)
    for cookie in said.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", cookie)
    return response


def _told(request: Request, said: Answer, done: str, back: str) -> Response:
    """What became of it: JSON for the page's own script, a page for a browser without."""
    if by_script(request):
        status = 200 if said.refusal is None else said.status
        return JSONResponse({"said": said.refusal or DONE[done]}, status, HEADERS)
    if said.refusal is not None:
        return answer("refused.html", said.status, text=said.refusal, back=back)
    return RedirectResponse(f"{back}?did={done}", 303, HEADERS)
