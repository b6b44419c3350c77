"""The pages over the contract itself, and over small contracts made for one promise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from auth.scopes import RULES, Rule
from contract import load
from pages import create_pages, reference
from pages.reference import Operation, Reference

BASE_URL = "http://127.0.0.1:8080"


class Buffered(FlaskClient):
    """Reads every answer to its end, so that no file of the static folder stays open."""

    def open(self, *args: Any, **more: Any) -> Any:
        return super().open(*args, buffered=True, **more)


@pytest.fixture(scope="session")
def spec() -> dict[str, Any]:
    return load(Path(__file__).parents[2] / "openapi" / "rensei-api.yaml").spec


@pytest.fixture(scope="session")
def shown(spec: dict[str, Any]) -> Reference:
    return reference.read(spec, RULES)


@pytest.fixture(scope="session")
def client(spec: dict[str, Any]) -> FlaskClient:
    pages = create_pages(spec, RULES, BASE_URL)
    pages.test_client_class = Buffered
    return pages.test_client()


@pytest.fixture
def small() -> Callable[..., dict[str, Any]]:
    """Make a contract with the one operation `getThing`, changed by the arguments."""

    def make(schemas: dict[str, Any] | None = None, **operation: Any) -> dict[str, Any]:
        raw = {
            "operationId": "getThing",
            "tags": ["Things"],
            "summary": "Read a thing",
            "security": [],
            "responses": {},
        }
        return {
            "openapi": "3.0.3",
            "info": {"title": "Small", "version": "1.0.0"},
            "paths": {"/api/thing": {"get": raw | operation}},
            "components": {"schemas": schemas or {}},
        }

    return make


@pytest.fixture
def page(small: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """The page of `getThing` in a small contract."""

    def read(**given: Any) -> str:
        pages = create_pages(small(**given), {"getThing": Rule("none")}, BASE_URL)
        return pages.test_client().get("/docs/api/reference/things/getThing").text

    return read


@pytest.fixture
def small_operation(small: Callable[..., dict[str, Any]]) -> Callable[..., Operation]:
    """`getThing` of a small contract, as the pages read it."""

    def read(**given: Any) -> Operation:
        return reference.read(small(**given), {"getThing": Rule("none")}).operations[0]

    return read
