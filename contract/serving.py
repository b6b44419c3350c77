"""The parts put together: a contract and handlers become an ASGI application."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final

from contract import structure
from contract.dispatch import Dispatch, HandlerResolver
from contract.errors import ContractError
from contract.framework import API, CheckedSpecification, ConnexionMiddleware
from contract.handlers import Handler
from contract.loading import Contract
from contract.plans import make_plans
from contract.refusing import Refuse, Refusing
from contract.routing import Routing
from contract.security import Authenticate, Authorize, Security
from contract.validation import Validation

MAX_BODY_BYTES: Final = 1_048_576

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def build_app(
    contract: Contract,
    *,
    handlers: Mapping[str, Handler],
    authenticate: Authenticate,
    authorize: Authorize,
    decided: Collection[str],
    refuse: Refuse,
    lifespan: Lifespan | None = None,
    check_responses: bool = True,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> ConnexionMiddleware:
    """Build the application; raises `ContractError` that lists everything in the way.

    `handlers` are coroutine functions by snake_case operationId. `authenticate` is called
    for every operation that is not public, then `authorize`, both before the body is read
    and both raising to refuse. `decided` are the operationIds that have a scope decision.
    `refuse` turns every exception into a response. `max_body_bytes` holds where an
    operation has no `x-max-body-bytes`.
    """
    plans = make_plans(contract, handlers, decided, check_responses, max_body_bytes)
    if problems := structure.problems(contract.spec):
        raise ContractError(problems)
    app = ConnexionMiddleware(
        Dispatch(),
        lifespan=lifespan or _nothing_to_open,
        resolver=HandlerResolver(plans),
        middlewares=[
            partial(Refusing, refuse=refuse, max_body_bytes=max_body_bytes),
            Routing,
            Security,
            Validation,
        ],
    )
    # What `add_api` does, but for the check that was made above.
    app.apis.append(
        API(
            CheckedSpecification(dict(contract.spec)),
            base_path=None,
            name=None,
            **vars(app.options),
            plans=plans,
            authenticate=authenticate,
            authorize=authorize,
        )
    )
    # Connexion would put the layers together at the first request; a fault in them is to
    # stop the start instead.
    app.app, app.middleware_stack = app._build_middleware_stack()
    return app


@asynccontextmanager
async def _nothing_to_open(app: Any) -> AsyncIterator[None]:
    yield
