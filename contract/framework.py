"""The only door to Connexion: what this package takes from it, imported without its warnings."""

import warnings
from typing import Any

with warnings.catch_warnings():
    # Connexion 3.3 imports what jsonschema and Starlette have deprecated. It is pinned, so a
    # warning at every start would tell nobody anything new.
    warnings.simplefilter("ignore")
    from connexion.middleware import ConnexionMiddleware
    from connexion.middleware.abstract import (
        ROUTING_CONTEXT,
        RoutedAPI,
        RoutedMiddleware,
        SpecMiddleware,
    )
    from connexion.middleware.lifespan import LifespanMiddleware
    from connexion.middleware.main import API
    from connexion.resolver import Resolution, Resolver
    from connexion.spec import OpenAPISpecification

__all__ = [
    "API",
    "ROUTING_CONTEXT",
    "CheckedSpecification",
    "ConnexionMiddleware",
    "LifespanMiddleware",
    "OpenAPISpecification",
    "Resolution",
    "Resolver",
    "RoutedAPI",
    "RoutedMiddleware",
    "SpecMiddleware",
]


class CheckedSpecification(OpenAPISpecification):  # type: ignore[misc]
    """A document that `contract/structure.py` has held to OpenAPI 3.0 already."""

    @classmethod
    def _validate_spec(cls, spec: dict[str, Any]) -> None:
        """Nothing: doing it again, schema by schema in Python, takes a second of every start."""
