"""Named schemas: a page for each, linked with what uses it both ways."""

import re
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

from pages import components
from pages.reference import Reference

COMPONENTS = "/docs/api/reference/components"


def test_every_component_has_a_page_and_the_list_leads_to_it(
    client: FlaskClient, spec: dict[str, Any]
) -> None:
    listed = set(re.findall(rf'href="{COMPONENTS}/([^"]+)"', client.get(COMPONENTS).text))

    assert listed == set(spec["components"]["schemas"])
    for name in listed:
        page = client.get(f"{COMPONENTS}/{name}")
        assert page.status_code == 200
        assert f"<h1>{name}</h1>" in page.text


def test_links_between_operations_and_components_lead_both_ways(
    client: FlaskClient, shown: Reference
) -> None:
    for each in shown.operations:
        page = client.get(each.address).text
        for name in set(re.findall(rf'href="{COMPONENTS}/([^"]+)"', page)):
            assert f'href="{each.address}"' in client.get(f"{COMPONENTS}/{name}").text, name


def test_no_component_is_there_for_nothing(shown: Reference) -> None:
    idle = [each.name for each in shown.components.values() if not each.uses]

    assert idle == []


def test_an_unknown_component_is_404(client: FlaskClient) -> None:
    assert client.get(f"{COMPONENTS}/NoSuchThing").status_code == 404


def test_uses_are_found_through_other_components_and_responses(
    small: Callable[..., dict[str, Any]],
) -> None:
    def body(name: str) -> dict[str, Any]:
        schema = {"$ref": f"#/components/schemas/{name}"}
        return {"content": {"application/json": {"schema": schema}}}

    spec = small(
        schemas={
            "Inner": {"type": "string"},
            "Outer": {"properties": {"all": {"items": {"$ref": "#/components/schemas/Inner"}}}},
            "Circle": {"properties": {"next": {"$ref": "#/components/schemas/Circle"}}},
            "Shown": {"type": "object"},
        },
        requestBody=body("Outer"),
        responses={
            "200": {"$ref": "#/components/responses/Named"},
            "400": {
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Circle"},
                        "example": {"$ref": "#/components/schemas/Shown"},
                    }
                }
            },
        },
    )
    spec["components"]["responses"] = {"Named": body("Inner")}

    found = components.read(spec)

    assert found["Inner"].uses == (components.Use("getThing", ("request", "response")),)
    assert found["Inner"].inside == ("Outer",)
    assert found["Outer"].used_in("request") == ("getThing",)
    assert found["Circle"].inside == ("Circle",)
    assert found["Shown"].uses == ()
