"""What the reference shows, of every operation and of hard cases."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from auth.scopes import RULES
from pages import create_pages
from pages.reference import Operation, Reference

OVERVIEW = "/docs/api/reference"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def address(operation: Operation) -> str:
    return f"{OVERVIEW}/{operation.slug}/{operation.id}"


def all_addresses(shown: Reference) -> list[str]:
    return [OVERVIEW, *(address(each) for each in shown.operations)]


def main_text(html: str) -> str:
    """The words of the page without its menu."""
    main = html[html.index("<main") : html.index("</main>")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_the_root_leads_to_the_reference(client: FlaskClient) -> None:
    answer = client.get("/")

    assert answer.status_code == 302
    assert answer.location == OVERVIEW


def test_the_overview_names_every_tag_and_operation_in_the_order_of_the_contract(
    client: FlaskClient, spec: dict[str, Any]
) -> None:
    text = main_text(client.get(OVERVIEW).text)

    for tag in spec["tags"]:
        assert " ".join(tag["description"].split()) in text
    methods = ("get", "post", "patch", "put", "delete")
    found = [
        (item[method]["tags"][0], method.upper(), path)
        for path, item in spec["paths"].items()
        for method in item
        if method in methods
    ]
    # A section comes where its first operation stands; the list of tags goes by the alphabet.
    sections = list(dict.fromkeys(name for name, _, _ in found))
    operations = sorted(found, key=lambda each: sections.index(each[0]))
    # With the space, since one path may begin another.
    places = [f"{text} ".index(f"{method} {path} ") for _, method, path in operations]
    assert places == sorted(places)
    assert len(operations) == len(RULES)


def test_the_overview_begins_with_a_call_to_paste(client: FlaskClient) -> None:
    text = main_text(client.get(OVERVIEW).text)

    assert "curl http://127.0.0.1:8080/api/cli/whoami" in text


def test_every_operation_has_a_page_with_its_path_scope_and_parameters(
    client: FlaskClient, shown: Reference
) -> None:
    assert {each.id for each in shown.operations} == set(RULES)
    for each in shown.operations:
        answer = client.get(address(each))
        text = main_text(answer.text)

        assert answer.status_code == 200, each.id
        assert f"<h1>{each.summary}</h1>" in unescape(answer.text)
        assert f"{each.method} {each.path}" in text
        assert f"Scope {RULES[each.id].scope}" in text
        for kind in RULES[each.id].kinds:
            assert kind.value in text
        for parameter in each.parameters:
            assert parameter.name in text
        for name in filter(None, each.security):
            assert name in text
        for response in each.responses:
            assert response.status in text


def test_a_page_shows_what_a_parameter_may_be(client: FlaskClient) -> None:
    text = main_text(client.get(f"{OVERVIEW}/sessions-(public)/listPublicSessions").text)

    assert "limit integer 1 to 1,000 default 500" in text
    assert "X-Rensei-Project" in text


def test_every_link_leads_to_a_page_and_every_page_is_linked(
    client: FlaskClient, shown: Reference
) -> None:
    found = set()
    for page in all_addresses(shown):
        html = client.get(page).text
        ids = set(re.findall(r'\bid="([^"]+)"', html))
        for link in map(unescape, re.findall(r'\b(?:href|src)="([^"]+)"', html)):
            if link.startswith("#"):
                assert link[1:] in ids, (page, link)
            else:
                found.add(link)

    # The fleet page is another application's.
    for link in found - {"/fleet"}:
        assert client.get(link).status_code == 200, link
    assert set(all_addresses(shown)) <= found


def test_previous_and_next_turn_through_all_operations_and_back(
    client: FlaskClient, shown: Reference
) -> None:
    def turned(page: str, rel: str) -> str | None:
        found = re.search(rf'rel="{rel}" href="([^"]+)"', client.get(page).text)
        return found[1] if found else None

    pages = [address(each) for each in shown.operations]

    assert [turned(page, "next") for page in pages] == [*pages[1:], None]
    assert [turned(page, "prev") for page in pages] == [None, *pages[:-1]]


def test_nothing_is_loaded_from_elsewhere(client: FlaskClient, shown: Reference) -> None:
    for page in [*all_addresses(shown), "/docs/static/reference.css"]:
        text = client.get(page).text

        assert not re.search(r"<iframe|<img|\bstyle=|\bon\w+=|@import|url\(", text), page
        for tag in re.findall(r"<link[^>]+>|<script[^>]*>", text):
            assert "//" not in tag, page
        # Every script is a file, so that the policy needs no exception.
        assert not re.search(r"<script(?![^>]*\bsrc=)|<script[^>]*>[^<]", text), page


def test_every_answer_carries_the_headers_that_fence_it_in(client: FlaskClient) -> None:
    for page in ("/", OVERVIEW, "/nowhere", "/docs/static/reference.css"):
        headers = client.get(page).headers

        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Referrer-Policy" in headers


@pytest.mark.parametrize(
    "page",
    [
        "/nowhere",
        f"{OVERVIEW}/worker-protocol/noSuchOperation",
        f"{OVERVIEW}/webhooks/workerPoll",
    ],
)
def test_an_unknown_page_is_404_in_the_clients_language(client: FlaskClient, page: str) -> None:
    for_program = client.get(page)
    for_person = client.get(page, headers=BROWSER)

    assert for_program.status_code == for_person.status_code == 404
    assert "Page not found" in for_program.get_json()["error"]
    assert for_person.mimetype == "text/html"
    assert "<h1>Page not found" in for_person.text


def test_a_page_takes_no_post_and_says_what_it_takes(client: FlaskClient) -> None:
    answer = client.post(OVERVIEW)

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert "use GET" in answer.get_json()["error"]


def test_texts_of_the_contract_are_escaped_everywhere(page: Callable[..., str]) -> None:
    bad = "<script>alert(1)</script> ![x](https://elsewhere.test/x.png) [x](javascript:alert(1))"
    schema = {
        "type": "object",
        "description": bad,
        "properties": {bad: {"type": "string", "enum": [bad], "default": bad, "pattern": bad}},
    }
    media = {"application/json": {"schema": schema, "example": {bad: bad}}}

    html = page(
        summary=bad,
        description=bad,
        parameters=[{"name": bad, "in": "query", "description": bad, "schema": schema}],
        requestBody={"description": bad, "content": media},
        responses={"200": {"description": bad, "content": media}},
    )

    assert "<script>" not in html
    assert "<img" not in html
    assert 'href="javascript:' not in html
    assert html.count("&lt;script&gt;") > 10


def test_a_schema_that_contains_itself_is_shown_once(page: Callable[..., str]) -> None:
    node = {"$ref": "#/components/schemas/Node"}
    schemas = {
        "Node": {
            "type": "object",
            "properties": {
                "children": {"type": "array", "items": node},
                "byName": {"type": "object", "additionalProperties": node},
                "parent": {"oneOf": [node, {"type": "string"}]},
            },
        }
    }
    content = {"application/json": {"schema": node}}

    text = main_text(page(schemas=schemas, responses={"200": {"content": content}}))

    assert text.count("children") == 1
    assert "children array of Node" in text
    assert text.count("The same as Node further up.") == 2


def test_a_schema_shows_null_choices_enums_bounds_and_open_members(
    page: Callable[..., str],
) -> None:
    schema = {
        "type": "object",
        "additionalProperties": True,
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 2000, "nullable": True},
            "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
            "owner": {"oneOf": [{"type": "string", "maxLength": 9}, {"type": "boolean"}]},
            "tags": {"type": "array", "maxItems": 3, "items": {"type": "string", "minLength": 2}},
        },
    }
    content = {"application/json": {"schema": schema}}

    text = main_text(page(requestBody={"content": content}))

    assert "size required integer or null 1 to 2,000" in text
    assert "share number at least 0 without 0" in text
    assert 'color string default "red" one of "red" "green"' in text
    assert "owner one of 2 alternatives One of: string at most 9 characters boolean" in text
    assert "tags array of string at most 3 items each: at least 2 characters" in text
    assert "Other members are allowed." in text


def test_an_operation_without_a_scope_stops_the_start(small: Callable[..., Any]) -> None:
    with pytest.raises(LookupError, match="getThing has no scope; add it"):
        create_pages(small(), {}, "http://127.0.0.1:8080")


def test_a_page_tells_what_a_worker_may_hold_instead(client: FlaskClient) -> None:
    page = client.get("/docs/api/reference/sessions-(public)/getSessionActivities").text
    other = client.get("/docs/api/reference/sessions-(public)/getPublicStats").text

    assert "<dd><code>worker:session</code></dd>" in page
    assert "no credential" in page
    assert "Or, for workers" not in other


def test_every_page_shows_its_samples_one_of_them_chosen(
    client: FlaskClient, shown: Reference
) -> None:
    for each in shown.operations:
        page = unescape(client.get(address(each)).text)

        tabs = re.findall(r'<input [^>]*name="language"[^>]*>', page)
        assert ["checked" in each for each in tabs] == [True, False, False]
        assert "curl " in page
        assert "import httpx" in page
        assert "await fetch(" in page
