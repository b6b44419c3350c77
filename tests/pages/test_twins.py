"""Every page has its twins, and they say what it says, whatever words stand in it."""

import posixpath
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from auth.scopes import RULES, Rule
from pages import documents, guides, reference, twins
from pages.guides import Guide
from pages.reference import Operation, Reference

BASE_URL = "http://127.0.0.1:8080"
HOSTILE = (
    "import x from 'y'\n\nexport default {process.exit()} <script>alert(1)</script> `{` | **b** "
    "[x](javascript:alert(1)) ![i](https://elsewhere.test/i.png) */ --> &lt; ``` {a}\n# H\n```\n{b}"
)


@pytest.fixture(scope="module")
def told() -> tuple[Guide, ...]:
    return guides.read()


@pytest.fixture(scope="module")
def written(spec: dict[str, Any]) -> dict[str, str]:
    return documents.committed(spec, RULES)


def prose(mdx: str) -> str:
    """What MDX takes for prose: without front matter, blocks of code and code spans."""
    lines, fence = [], ""
    for line in re.sub(r"\A---\n.*?\n---\n", "", mdx, flags=re.DOTALL).splitlines():
        found = re.match(r"\s*(`{3,})[^`]*$", line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif found:
            fence = found[1]
        else:
            lines.append(re.sub(r"(?<!\\)(`+)(?!`).+?(?<!`)\1(?!`)", "", line))
    assert not fence
    return "\n".join(lines)


def assert_nothing_runs(mdx: str) -> None:
    words = prose(mdx)
    assert not re.search(r"(?<!\\)[{}<]", words), re.findall(r".{20}(?<!\\)[{}<].{20}", words)
    assert not re.search(r"^\s*(import|export)\b", words, re.MULTILINE)


def test_there_are_as_many_twins_and_links_as_operations(
    shown: Reference, written: dict[str, str]
) -> None:
    ids = sorted(each.id for each in shown.operations)

    for ending in ("mdx", "md"):
        found = [Path(path) for path in written if path.endswith(f".{ending}")]
        assert sorted(each.stem for each in found if each.name != "map.md") == ids
    links = re.findall(r"\]\(reference/[^/]+/(\w+)\.md\)", written[twins.LLMS])
    assert sorted(links) == ids
    links = re.findall(r"\]\([^/]+/(\w+)\.md\)", written[twins.MAP])
    assert sorted(each for each in links if each in ids) == ids


def test_every_link_between_twins_and_guides_leads_to_a_file(
    written: dict[str, str], told: tuple[Guide, ...]
) -> None:
    known = set(written) | {twins.guide_path(each) for each in told}
    for path, text in written.items():
        for link in re.findall(r"\]\(([^()\s]+(?:\([^()]*\)[^()]*)?)\)", prose(text)):
            if path.endswith(".mdx"):
                assert link.startswith(("/docs/api/reference/", "/docs/guides/")), (path, link)
            elif not link.startswith(("http", "#", "mailto")):
                target = link.partition("#")[0]
                # In the whole text the guides stand as they are, and link as they do.
                places = {posixpath.dirname(path)}
                places |= {twins.GUIDES} if path == twins.LLMS_FULL else set()
                found = {posixpath.normpath(posixpath.join(each, target)) for each in places}
                assert found & known, (path, link)


def test_the_same_contract_gives_the_same_texts(
    spec: dict[str, Any], written: dict[str, str]
) -> None:
    assert documents.committed(spec, RULES) == written


def strings(value: Any) -> set[str]:
    """Every name, bound, enum value and default inside what the pages read."""
    if is_dataclass(value):
        kept = [f.name for f in fields(value) if f.name not in {"description", "example", "slug"}]
        return set().union(*(strings(getattr(value, name)) for name in kept))
    if isinstance(value, tuple):
        return set().union(*map(strings, value))
    return {value} if isinstance(value, str) and value else set()


def squeezed(text: str) -> str:
    return re.sub(r"[\s\\`]+", "", text).casefold()


def test_a_twin_says_everything_that_the_page_says(
    shown: Reference, written: dict[str, str], spec: dict[str, Any]
) -> None:
    samples = documents.samples(shown, spec, BASE_URL)
    types = {"integer", "one of", "any of", "all of", "object", "array", "any JSON"}
    for each in shown.operations:
        for ending in ("md", "mdx"):
            text = written[twins.path_of(each, ending)]
            flat = squeezed(text)
            for word in strings(each) - types:
                assert squeezed(word) in flat, (each.id, word)
            for sentence in re.findall(r"[A-Za-z][\w ,;]{12,}", each.description):
                assert squeezed(sentence) in flat, (each.id, sentence)
            for sample in samples[each.id].values():
                assert sample in text
            for response in each.responses:
                for media in response.media:
                    assert media.example_text.rstrip() in text


def test_the_whole_text_holds_every_operation_and_guide_and_declares_each_type_once(
    shown: Reference, written: dict[str, str], told: tuple[Guide, ...]
) -> None:
    text = written[twins.LLMS_FULL]

    for each in shown.operations:
        assert f"`{each.method} {each.path}`" in text
    for guide in told:
        assert guide.text.strip() in text
    names = re.findall(r"^type (\w+) =", text, re.MULTILINE)
    assert len(names) > 100
    anonymous = [each for each in names if names.count(each) > 1]
    assert anonymous == []


def test_llms_txt_has_the_form_of_its_convention(written: dict[str, str]) -> None:
    lines = [line for line in written[twins.LLMS].splitlines() if line]

    assert re.fullmatch(r"# .+", lines[0])
    assert lines[1].startswith("> ")
    assert [line for line in lines if line.startswith("# ")] == lines[:1]
    after = lines[[line.startswith("## ") for line in lines].index(True) :]
    for line in after:
        assert re.match(r"## |- \[.+\]\(.+\): ", line), line
    assert lines[-3] == "## Optional"


def test_no_mdx_twin_runs_anything(written: dict[str, str]) -> None:
    for path, text in written.items():
        if path.endswith(".mdx"):
            assert_nothing_runs(text)
            _, front, _ = text.split("---\n", 2)
            assert yaml.safe_load(front).keys() == {"title", "description", "api"}


def test_hostile_words_stay_words(small: Callable[..., dict[str, Any]]) -> None:
    schema = {
        "type": "object",
        "description": HOSTILE,
        "properties": {HOSTILE: {"type": "string", "enum": [HOSTILE], "description": HOSTILE}},
    }
    media = {HOSTILE: {"schema": schema, "example": {HOSTILE: HOSTILE}}}
    spec = small(
        summary=HOSTILE,
        description=HOSTILE,
        parameters=[{"name": HOSTILE, "in": "query", "description": HOSTILE, "schema": schema}],
        requestBody={"description": HOSTILE, "content": media},
        responses={"200": {"description": HOSTILE, "content": media}},
    )
    shown = reference.read(spec, {"getThing": Rule("none")})
    hostile_guide = Guide("g", 1, HOSTILE, HOSTILE, ("getThing",), "Words.\n")

    found = twins.texts(shown, [hostile_guide], {"getThing": {"curl": HOSTILE}})

    for path, text in found.items():
        assert not re.search(r"(?<!\\)\]\(javascript:", prose(text))
        assert not re.search(r"(?<!\\)!\[", prose(text))
        assert_nothing_runs(text)
        if path.endswith(".mdx"):
            _, front, _ = text.split("---\n", 2)
            assert yaml.safe_load(front)["title"] == HOSTILE
        # The fence around code is longer than any in it, and no comment ends early.
        declared = re.search(r"^(`{4,})ts\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
        assert declared is None or "* /" in declared[2]


def address(operation: Operation) -> str:
    return f"/docs/api/reference/{operation.slug}/{operation.id}"


def test_every_page_answers_in_markdown_at_its_address_and_when_asked(
    client: FlaskClient, shown: Reference, told: tuple[Guide, ...]
) -> None:
    pages = [address(each) for each in shown.operations]
    pages += [f"/docs/guides/{each.name}" for each in told]
    for page in [*pages, "/docs/map"]:
        twin = client.get(f"{page}.md")
        asked = client.get(page, headers={"Accept": "text/markdown"})

        assert twin.status_code == 200, page
        assert twin.content_type == "text/markdown; charset=utf-8"
        assert twin.text.startswith("# ")
        assert asked.text == twin.text
        assert "Accept" in asked.headers["Vary"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("*/*", "text/html"),
        ("text/markdown, text/html;q=0.9, */*;q=0.1", "text/markdown"),
        ("text/markdown, text/html, */*", "text/markdown"),
        ("text/html, text/markdown;q=0.5", "text/html"),
    ],
)
def test_a_page_is_markdown_for_who_prefers_it(client: FlaskClient, accept: str, kind: str) -> None:
    answer = client.get("/docs/api/reference/webhooks/webhookIngest", headers={"Accept": accept})

    assert answer.mimetype == kind
    assert "Accept" in answer.headers["Vary"]


def test_the_lists_for_language_models_link_to_addresses_that_answer(client: FlaskClient) -> None:
    answer = client.get("/llms.txt")
    full = client.get("/llms-full.txt")

    assert answer.content_type == full.content_type == "text/plain; charset=utf-8"
    links = re.findall(r"^- \[[^]]+\]\((\S+)\): ", answer.text, re.MULTILINE)
    assert len(links) > len(RULES)
    for link in links:
        assert link.startswith(f"{BASE_URL}/")
        assert client.get(link.removeprefix(BASE_URL)).status_code == 200, link


def test_a_guide_in_markdown_links_to_the_twins_of_its_operations(
    client: FlaskClient, told: tuple[Guide, ...]
) -> None:
    for guide in told:
        text = client.get(f"/docs/guides/{guide.name}.md").text
        assert "../" not in text
        linked = re.findall(
            rf"^\[`(\w+)`\]: {BASE_URL}/docs/api/reference/\S+\.md$", text, re.MULTILINE
        )
        assert linked, guide.name
        assert set(linked) <= set(guide.operations)


def test_the_map_leads_to_every_page(
    client: FlaskClient, shown: Reference, told: tuple[Guide, ...]
) -> None:
    html = client.get("/docs/map").text

    for page in [
        *(address(each) for each in shown.operations),
        *(f"/docs/guides/{each.name}" for each in told),
    ]:
        assert f'href="{page}"' in html


@pytest.mark.parametrize(
    "page", ["/docs/guides/none", "/docs/guides/none.md", "/docs/api/reference/mcp/workerPoll.md"]
)
def test_a_twin_that_is_not_there_is_404(client: FlaskClient, page: str) -> None:
    assert client.get(page).status_code == 404
