"""The contract, read once for all tests, and which of its operations a request is about."""

import re
from functools import cache
from typing import Final

import contract
from contract import Operation
from settings import PROJECT

CONTRACT: Final = contract.load(PROJECT / "openapi" / "rensei-api.yaml")


def operation_of(method: str, path: str) -> Operation | None:
    """The operation of a method (in capitals) and a path; None when the contract has none."""
    found = None
    for shape, each in _shapes():
        if each.method == method and shape.fullmatch(path):
            if "{" not in each.path:
                return each
            found = found or each
    return found


@cache
def _shapes() -> list[tuple["re.Pattern[str]", Operation]]:
    return [
        (re.compile(re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(each.path))), each)
        for each in CONTRACT.operations
    ]
