"""The parts put together: contract, handlers, credentials, pages and the process's connections."""

import asyncio
import importlib
import inspect
import logging
import pkgutil
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any, Final

from a2wsgi import WSGIMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import contract
import handlers
import logs
import settings
from auth import keyring, schemes
from auth.scopes import RULES, authorize
from domain.errors import Forbidden, OAuthRefusal, TooMany, Unauthenticated, Unavailable
from domain.ids import fingerprint
from domain.principal import Principal
from handlers.refusals import refuse
from pages import create_pages, playground
from pages.fleet import create_fleet
from persistence import audit, database, keys, pulse, refusals
from persistence.ephemeral import session_news, store
from services import (
    a2a_wire,
    credential_watch,
    git_tokens,
    mcp_loading,
    routing,
    session_watch,
    tasks,
    work_bell,
)

CONTRACT: Final = settings.PROJECT / "openapi" / "rensei-api.yaml"

PAGE_THREADS: Final = 4
REFUSALS_SECONDS: Final = 1.0

PAGES: Final = frozenset({"/", "/docs", "/llms.txt", "/llms-full.txt"})

_log = logging.getLogger(__name__)

_prepared: list[tuple[contract.Contract, ASGIApp]] = []
"""What `prepare` has built and nobody serves yet: one at most, and each process has its copy."""


def create_app(given: settings.Settings | None = None) -> ASGIApp:
    """Build the server of one process. Raises `ContractError` or `SettingsError`, and then nothing
    starts: a server that answers 500 to everything helps nobody."""
    now = given or settings.Settings.from_environment()
    settings.use(now)
    logs.to_stderr("web")
    keyring.start()
    if now.web_database_url is None:
        raise settings.SettingsError(
            "RENSEI_WEB_DATABASE_URL is missing. `make run` finds or makes one by itself."
        )
    loaded, api = _prepared.pop() if _prepared else _build()
    site: Any = create_pages(loaded.spec, RULES, now.own_address)
    pages: Any = WSGIMiddleware(site, workers=PAGE_THREADS)
    tried = playground.create_playground(loaded, api, now.own_address, refuse)
    return _side_by_side(api, pages, tried, create_fleet(api))


def prepare() -> None:
    """Build, before the processes of a server part, what is the same in all of them.

    It is the contract put into layers: no connection, no thread, no setting. A process that takes
    a dead one's place then serves at once.
    """
    _prepared.append(_build())


def _build() -> tuple[contract.Contract, ASGIApp]:
    loaded = contract.load(CONTRACT)
    return loaded, contract.build_app(
        loaded,
        handlers=find_handlers(),
        authenticate=schemes.authenticate,
        authorize=authorize,
        decided=RULES,
        refuse=_refuse_and_count,
        lifespan=_lifespan,
    )


def find_handlers() -> dict[str, Callable[..., Any]]:
    """Every public coroutine of the package `handlers`, by name. Two of one name stop the start."""
    found: dict[str, Callable[..., Any]] = {}
    twice = []
    for module in pkgutil.iter_modules(handlers.__path__, "handlers."):
        for name, member in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or not inspect.iscoroutinefunction(member):
                continue
            if member.__module__ == module.name:
                if name in found:
                    twice.append(f"{name}: two handlers have this name; rename one")
                found[name] = member
    if twice:
        raise contract.ContractError(twice)
    return found


def _side_by_side(api: ASGIApp, pages: ASGIApp, tried: ASGIApp, fleet: ASGIApp) -> ASGIApp:
    """The pages' own addresses, all below `/docs` (the playground's calls among them) and `/fleet`;
    the rest is the contract's."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path.startswith(playground.PREFIX):
                await tried(scope, receive, send)
                return
            if path in PAGES or path.startswith("/docs/"):
                await pages(scope, receive, send)
                return
            if path == "/fleet" or path.startswith("/fleet/"):
                await fleet(scope, receive, send)
                return
        await api(scope, receive, send)

    return serve


def _refuse_and_count(error: Exception, request: contract.Request) -> Response:
    """The refusal, and its place in the audit log when it was about a credential."""
    status = _about_credential(error)
    if status:
        user = request.user if isinstance(request.user, Principal) else None
        refusals.note(
            refusals.Refused(
                org_id=user.org_id if user else None,
                actor_id=user.id if user else None,
                actor_type=user.actor_type if user else "unknown",
                source=schemes.address_of(request),
                operation_id=request.operation.id if request.operation else "none",
                status=status,
            )
        )
    return refuse(error, request)


def _about_credential(error: Exception) -> int | None:
    """The status of a refusal that is about who asks; None for every other."""
    if isinstance(error, OAuthRefusal):
        return 401 if error.status == 401 else None
    for kind, status in ((Unauthenticated, 401), (Forbidden, 403), (TooMany, 429)):
        if isinstance(error, kind):
            return status
    return None


@asynccontextmanager
async def _lifespan(_: Any) -> AsyncIterator[None]:
    """The process's connections, and the two things that it does by the clock."""
    now = settings.current()
    await database.connect(str(now.web_database_url))
    store.connect(now.redis_url)
    watch, bell = session_watch.open_watch(), work_bell.open_bell()
    rotations = credential_watch.open_watch()
    tokens = git_tokens.open_tokens()
    try:
        await _put_deployment_key(now)
        beating = [
            asyncio.create_task(_repeat(now.pulse_seconds, lambda: pulse.beat(now.gap_seconds))),
            asyncio.create_task(_repeat(REFUSALS_SECONDS, refusals.write)),
            asyncio.create_task(a2a_wire.warm()),
        ]
        mcp_loading.begin()
        with _told_to_end(watch.end), _told_to_end(bell.end), _told_to_end(rotations.end):
            yield
        await tasks.end(*beating)
        with suppress(Unavailable):
            await refusals.write()
    finally:
        await mcp_loading.settle()
        await watch.close()
        await rotations.close()
        await bell.close()
        await tokens.close()
        await session_news.settle()
        await routing.settle()
        await store.disconnect()
        await database.disconnect()


@contextmanager
def _told_to_end(tell: Callable[[], Any]) -> Iterator[None]:
    """Call `tell` in the event loop as soon as the process is told to end.

    The server waits for open answers before it lets the lifespan end, so long ones must hear of it
    from the signal. The handlers found here are the server's own, and are called after ours.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    found: dict[int, Any] = {}

    def chained(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        before = found[number]
        if callable(before):
            before(number, frame)
        elif before != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        found[number] = signal.signal(number, chained)
    try:
        yield
    finally:
        for number, before in found.items():
            if signal.getsignal(number) is chained:
                signal.signal(number, before or signal.SIG_DFL)


async def _repeat(seconds: float, step: Callable[[], Any]) -> None:
    """Do a small thing over and over. A database that is away is waited for, quietly."""
    while True:
        try:
            await step()
        except Unavailable:
            pass
        except Exception:
            _log.exception("a background step failed; it is tried again")
        await asyncio.sleep(seconds)


async def _put_deployment_key(now: settings.Settings) -> None:
    """Make `WORKER_API_KEY` known, or end the one that was. Waits for nobody: with the database
    away it is put when the process starts again."""
    secret = now.worker_api_key
    try:
        async with database.transaction() as db:
            changes = await keys.put_deployment_key(
                db, fingerprint(secret.value) if secret else None, now.worker_api_key_project
            )
            for each in changes:
                key, about = ("api_key", each.key_id), {"setting": "WORKER_API_KEY"}
                await audit.append(db, each.org_id, None, each.event_type, key, about)
    except Unavailable:
        _log.warning("the database is away; WORKER_API_KEY was not looked at")
