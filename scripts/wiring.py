"""Whether operations and handlers name each other, and agree on the arguments."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from contract import Operation, snake
from contract.names import argument_name
from scripts.handler_source import Handler


def handler_differences(
    operations: Sequence[Operation], handlers: Sequence[Handler]
) -> Iterator[str]:
    """Operations without a handler, handlers without an operation, and handlers made twice."""
    modules = defaultdict(list)
    for handler in handlers:
        modules[handler.name].append(f"handlers/{handler.module}.py")
    names = {snake(operation.id) for operation in operations}
    for operation in operations:
        name = snake(operation.id)
        if name not in modules:
            yield (
                f"{operation.id}: no handler; "
                f"write `async def {name}` in the module of its noun in handlers/"
            )
        elif len(modules[name]) > 1:
            yield f"{operation.id}: {name} stands in {' and '.join(modules[name])}; keep one"
    for name, places in modules.items():
        if name not in names:
            yield (
                f"{places[0]}: {name} serves no operation; describe it in the contract, "
                "or put an underscore before its name"
            )


def signature_differences(
    operations: Sequence[Operation], handlers: Sequence[Handler]
) -> Iterator[str]:
    """Arguments that the contract does not have, and parameters that the handler leaves out."""
    by_name = {handler.name: handler for handler in handlers}
    for operation in operations:
        handler = by_name.get(snake(operation.id))
        if handler is not None:
            yield from _one(operation, handler)


def _one(operation: Operation, handler: Handler) -> Iterator[str]:
    place = f"{operation.id}: handlers/{handler.module}.py: {handler.name}"
    declared = {argument_name(each["name"]): each for each in operation.parameters}
    for argument, parameter in declared.items():
        # Headers and cookies may stay with the framework; the rest is asked for to be used.
        if parameter["in"] in ("path", "query") and argument not in handler.arguments:
            yield (
                f"{place} ignores the {parameter['in']} parameter `{parameter['name']}`; "
                f"add the argument `{argument}`, or remove the parameter from the contract"
            )
    for argument in handler.arguments:
        if argument in declared or argument == "request":
            continue
        if argument.startswith("*"):
            yield f"{place} takes {argument}; write its arguments out"
        elif argument == "body":
            if "requestBody" not in operation.raw:
                yield f"{place} takes a body; add a requestBody to the contract, or remove it"
        elif argument == "user":
            if not operation.security:
                yield f"{place} takes a user of a public operation; add security, or remove it"
        else:
            yield (
                f"{place} takes `{argument}`, which the contract does not declare; "
                "add the parameter to the contract, or remove the argument"
            )
