"""The contract made law: loading, routing, security, validation and dispatch of one YAML file.

The only package that knows Connexion. It imports no other part of the project and knows no
handler by name; all of that is handed to `build_app`.
"""

import warnings

with warnings.catch_warnings():
    # Connexion imports Starlette's test client, which names the client it will want one day.
    warnings.simplefilter("ignore")
    import connexion  # noqa: F401

from contract.errors import (
    BodyTooLarge,
    ContractError,
    Disconnected,
    Malformed,
    MethodNotAllowed,
    NoSuchPath,
    NotJson,
    Refused,
    ResponseBroken,
    UnsupportedMedia,
)
from contract.loading import Contract, Operation, load
from contract.names import snake
from contract.request import Request
from contract.serving import build_app

__all__ = [
    "BodyTooLarge",
    "Contract",
    "ContractError",
    "Disconnected",
    "Malformed",
    "MethodNotAllowed",
    "NoSuchPath",
    "NotJson",
    "Operation",
    "Refused",
    "Request",
    "ResponseBroken",
    "UnsupportedMedia",
    "build_app",
    "load",
    "snake",
]
