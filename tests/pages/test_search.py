"""The search: what is found, in which order, with a script and without."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from auth.scopes import Rule
from pages import create_pages, guides, search
from pages.reference import Reference
from pages.search import Entry

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def entries(shown: Reference) -> tuple[Entry, ...]:
    return search.index(shown)


def test_every_operation_is_found_first_by_its_id_and_by_its_title(
    entries: tuple[Entry, ...], shown: Reference
) -> None:
    for each in shown.operations:
        assert search.find(entries, each.id)[0].id == each.id
        titles = [hit.title for hit in search.find(entries, each.summary)]
        assert each.summary == titles[0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("poll", "workerPoll"),
        ("MINT KEY", "mintApiKey"),
        ("/api/cli/whoami", "whoami"),
        ("webhooks/ingest", "webhookIngest"),
        ("interview turn", "sendInterviewTurn"),
    ],
)
def test_parts_of_titles_paths_and_ids_lead_to_the_operation(
    entries: tuple[Entry, ...], query: str, found: str
) -> None:
    assert found in [each.id for each in search.find(entries, query)[:3]]


def test_every_word_must_be_there(entries: tuple[Entry, ...]) -> None:
    assert search.find(entries, "key") != []
    assert search.find(entries, "key nosuchword") == []
    assert search.find(entries, "  ") == []


def test_descriptions_are_searched_after_names() -> None:
    told = Entry("Read", "A", "a", "read", text="speaks of a lease")
    named = Entry("Renew a lease", "A", "b", "renew")

    assert search.find([told, named], "lease") == [named, told]


def test_guides_are_found_with_their_words(shown: Reference) -> None:
    class Guide:
        name, title, summary, text = "leases", "Leases", "Who holds what", "A **zeppelin** passes."

    found = search.find(search.index(shown, [Guide()]), "zeppelin")

    assert [(each.title, each.href, each.kind) for each in found] == [
        ("Leases", "guides/leases", "Guide")
    ]


def test_markdown_leaves_its_words() -> None:
    text = (
        "See [the *guide*](/docs/x) of `leases`.\n\n```sh\ncurl x\n```\n| a | b |\n\n> said # twice"
    )

    assert search.plain(text) == "See the guide of leases. a b said twice"


def test_the_index_is_what_the_server_searches(client: FlaskClient, shown: Reference) -> None:
    entries = search.index(shown, guides.read())

    answer = client.get("/docs/search.json")

    assert answer.mimetype == "application/json"
    assert answer.get_json() == json.loads(json.dumps(search.as_json(entries)))
    for row in answer.get_json():
        assert client.get(f"/docs/{row[2]}").status_code == 200


def test_without_a_script_the_form_leads_to_a_page_of_results(client: FlaskClient) -> None:
    form = client.get("/docs/api/reference").text
    found = client.get("/docs/search?q=mint+key").text
    nothing = client.get("/docs/search?q=nosuchword").text
    empty = client.get("/docs/search").text

    assert 'action="/docs/search"' in form
    assert 'href="/docs/api/reference/authentication/mintApiKey">Mint a new rsk_ API key' in found
    assert "0 pages have “nosuchword”" in nothing
    assert "Type a word" in empty


def test_a_hostile_query_is_text(client: FlaskClient) -> None:
    html = client.get("/docs/search", query_string={"q": HOSTILE}).text

    assert "<script>" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") == 2


def test_a_query_without_end_is_cut(client: FlaskClient) -> None:
    html = client.get("/docs/search", query_string={"q": "x" * 4000}).text

    assert "x" * 200 in html
    assert "x" * 201 not in html


def test_a_hostile_contract_is_text_among_the_results(small: Callable[..., Any]) -> None:
    spec = small(summary=HOSTILE, description=HOSTILE)
    pages = create_pages(spec, {"getThing": Rule("none")}, "http://127.0.0.1:8080")

    html = pages.test_client().get("/docs/search?q=alert").text

    assert "1 page has" in html
    assert "<script>" not in html
    assert "<img" not in html
