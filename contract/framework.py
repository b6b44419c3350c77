"""The only door to Connexion: what this package takes from it, imported without its warnings."""

import warnings

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
    from connexion.resolver import Resolution, Resolver

__all__ = [
    "ROUTING_CONTEXT",
    "ConnexionMiddleware",
    "LifespanMiddleware",
    "Resolution",
    "Resolver",
    "RoutedAPI",
    "RoutedMiddleware",
    "SpecMiddleware",
]
