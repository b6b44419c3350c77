"""What serving one operation takes, worked out once at start."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contract.bodies import BodyPlan
from contract.errors import ContractError
from contract.handlers import BODY, REQUEST_ARGUMENT, USER, Handler, Signature, read_signature
from contract.loading import Contract, Operation
from contract.names import snake
from contract.parameters import ParameterPlan
from contract.responses import ResponsePlan
from contract.schemas import Schemas

LIMIT_KEYWORD: Final = "x-max-body-bytes"


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation with its handler and everything compiled; `body` None means none declared."""

    operation: Operation
    handler: Handler
    wants_body: bool
    wants_user: bool
    wants_request: bool
    parameters: ParameterPlan
    body: BodyPlan | None
    responses: ResponsePlan
    limit: int


def make_plans(
    contract: Contract,
    handlers: Mapping[str, Handler],
    decided: Collection[str],
    check_responses: bool,
    max_body_bytes: int,
) -> dict[str, Plan]:
    """Plan every operation, by operationId; raises `ContractError` with all problems at once."""
    schemas = Schemas(contract.spec)
    plans: dict[str, Plan] = {}
    problems: list[str] = []
    for operation in contract.operations:
        place = f"{operation.id} ({operation.method} {operation.path})"
        if operation.id not in decided:
            problems.append(f"{place}: nobody decided its scope; add it to the table of scopes")
        plan = _Planning(operation, schemas, check_responses, max_body_bytes)
        made = plan.make(handlers.get(snake(operation.id)))
        problems += [f"{place}: {each}" for each in plan.problems]
        if made is not None:
            plans[operation.id] = made
    problems += _shared_handlers(contract)
    if problems:
        raise ContractError(problems)
    return plans


class _Planning:
    """Makes one plan and collects what stands in its way."""

    def __init__(self, operation: Operation, schemas: Schemas, check: bool, most: int) -> None:
        self.problems: list[str] = []
        self._operation = operation
        self._schemas = schemas
        self._check = check
        self._most = most

    def make(self, handler: Handler | None) -> Plan | None:
        signature = self._signature(handler)
        # The contract's own problems are looked for even where no handler could be read.
        asked = signature or Signature(_nobody, {})
        parameters = self._try(ParameterPlan, self._operation, self._schemas, asked)
        body = None
        if "requestBody" in self._operation.raw:
            body = self._try(BodyPlan, self._operation, self._schemas)
        responses = self._try(ResponsePlan, self._operation, self._schemas, self._check)
        limit = self._operation.raw.get(LIMIT_KEYWORD, self._most)
        if not isinstance(limit, int) or limit < 0:
            self.problems.append(f"{LIMIT_KEYWORD} must be a number of bytes; correct it")
        if parameters is not None and signature is not None:
            self.problems += self._mismatches(signature, parameters)
        if self.problems or signature is None:
            return None
        return Plan(
            operation=self._operation,
            handler=signature.handler,
            wants_body=signature.wants(BODY),
            wants_user=signature.wants(USER),
            wants_request=signature.wants(REQUEST_ARGUMENT),
            parameters=parameters,
            body=body,
            responses=responses,
            limit=limit,
        )

    def _signature(self, handler: Handler | None) -> Signature | None:
        name = snake(self._operation.id)
        if handler is None:
            self.problems.append(f"has no handler; write `async def {name}`")
            return None
        try:
            return read_signature(handler)
        except ValueError as error:
            self.problems.append(f"handler {name} {error}")
            return None

    def _try(self, make: Any, *given: Any) -> Any:
        try:
            return make(*given)
        except (ValueError, LookupError) as error:
            self.problems.append(str(error.args[0]))
            return None

    def _mismatches(self, signature: Signature, parameters: ParameterPlan) -> Iterator[str]:
        supplied = list(parameters.arguments)
        supplied += [USER, REQUEST_ARGUMENT]
        if "requestBody" in self._operation.raw:
            supplied.append(BODY)
        for name in signature.arguments:
            if supplied.count(name) > 1:
                yield f"two things would arrive as argument {name!r}; rename a parameter"
            elif name not in supplied and not signature.has_default(name):
                yield f"the contract does not supply argument {name!r}; declare or remove it"
        for name in parameters.path_arguments:
            if not signature.wants(name):
                yield f"the handler lacks path parameter {name!r}; add the argument"


def _shared_handlers(contract: Contract) -> Iterator[str]:
    first: dict[str, str] = {}
    for operation in contract.operations:
        other = first.setdefault(snake(operation.id), operation.id)
        if other != operation.id:
            yield f"{operation.id}: would share a handler with {other}; rename one"


async def _nobody() -> None:
    """Stands in for a missing handler while its operation is looked at."""
