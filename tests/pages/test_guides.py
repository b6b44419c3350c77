"""The guides: every operation has one, every name in them is real, every picture can be read."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient

import settings
from auth.scopes import RULES
from pages import figures, guide_prose, guides
from pages.guides import Guide
from pages.reference import Operation, Reference

NAMES = (
    "overview",
    "authentication",
    "worker-protocol",
    "leases",
    "webhooks",
    "public-sessions",
    "a2a",
    "mcp",
    "audit",
    "running",
    "keeping",
)
BLOCK = re.compile(r"^```(sequence|states)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADERS = {
    "Accept", "Authorization", "Content-Type", "Host", "Idempotency-Key", "Last-Event-ID",
    "Linear-Delivery", "Linear-Signature", "Origin", "Retry-After", "X-A2A-Notification-Token",
    "X-Forwarded-For", "X-GitHub-Delivery", "X-Hub-Signature-256", "X-Linear-Signature",
    "X-Rensei-Org", "X-Rensei-Project", "X-Request-Id", "X-Vercel-Signature",
}  # fmt: skip
VARIABLES = {
    "RENSEI_ORG_KEY", "RENSEI_WORKER_KEY", "RENSEI_SESSION_ID", "RENSEI_MCP_TOKEN", "RENSEI_KEY",
}  # fmt: skip
"""Names of the shells and of credentials files, which are no settings."""


@pytest.fixture(scope="module")
def told() -> tuple[Guide, ...]:
    return guides.read()


def address(operation: Operation) -> str:
    return f"/docs/api/reference/{operation.slug}/{operation.id}"


def test_they_are_in_their_order(told: tuple[Guide, ...]) -> None:
    assert tuple(each.name for each in told) == NAMES
    assert [each.order for each in told] == list(range(1, len(NAMES) + 1))


def test_every_operation_is_told_of_by_a_guide_and_by_no_other_name(
    told: tuple[Guide, ...],
) -> None:
    named = {operation for each in told for operation in each.operations}

    assert named == set(RULES)
    for each in told:
        linked = set(re.findall(r"\.\./reference/\S+?/(\w+)\.md\b", each.text))
        assert linked - {"map"} <= set(each.operations), each.name
        # A name without its address would be shown as it is written.
        assert re.findall(r"\[`\w+`\](?![:(])", guide_prose.rendered(each)) == []


def test_a_contract_without_an_operation_has_no_guide_that_tells_of_it() -> None:
    shown = guides.about(set(RULES) - {"mcpCall"})

    assert [each.name for each in shown] == [name for name in NAMES if name != "mcp"]


def test_a_guide_and_its_operations_link_to_each_other(
    client: FlaskClient, told: tuple[Guide, ...], shown: Reference
) -> None:
    pages = {each.id: client.get(address(each)).text for each in shown.operations}
    for guide in told:
        html = client.get(f"/docs/guides/{guide.name}").text
        for each in shown.operations:
            if each.id in guide.operations:
                assert f'href="{address(each)}"' in html, (guide.name, each.id)
                assert f'href="/docs/guides/{guide.name}"' in pages[each.id]


def main(html: str) -> str:
    return html[html.index("<main") : html.index("</main>")]


def test_every_link_of_a_guide_leads_somewhere(
    client: FlaskClient, told: tuple[Guide, ...]
) -> None:
    known: dict[str, str] = {}
    for guide in told:
        page = f"/docs/guides/{guide.name}"
        known[page] = client.get(page).text
        for link in map(unescape, re.findall(r'href="([^"]+)"', main(known[page]))):
            path, _, place = link.partition("#")
            if path.startswith("https://"):
                continue
            assert "//" not in path
            if path not in known:
                answer = client.get(path or page)
                assert answer.status_code == 200, (guide.name, link)
                known[path] = answer.text
            if place:
                assert f'id="{place}"' in known[path], (guide.name, link)


def test_every_path_in_a_guide_is_one_of_the_contract(
    told: tuple[Guide, ...], shown: Reference
) -> None:
    whole = [re.escape(each.path) for each in shown.operations]
    known = re.compile("|".join(re.sub(r"\\\{[^}]+\\\}", "[^/?]+", each) for each in whole))
    groups = re.compile(r"(/[\w.{}-]+)+/\*")
    pages = re.compile(r"/docs(/[\w./-]*)?|/llms(-full)?\.txt")
    found = 0
    for guide in told:
        for path in re.findall(
            r"(?<![\w:/.<])(?:\$API)?(/(?:api|v1|\.well-known)/[^\s\"'`|,;)?]*)", guide.text
        ):
            plain = path.rstrip(".:").replace("<workspace>", "org_demo")
            found += 1
            fits = known.fullmatch(plain) or groups.fullmatch(plain) or pages.fullmatch(plain)
            assert fits, (guide.name, path)
    assert found > 100


def test_every_method_of_a_call_is_the_contracts(told: tuple[Guide, ...], shown: Reference) -> None:
    known = {
        (each.method, re.sub(r"\{[^}]+\}", "{}", each.path.rstrip("/")))
        for each in shown.operations
    }
    for guide in told:
        for method, path in re.findall(
            r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:api|v1|\.well-known)/[\w./{}-]+)", guide.text
        ):
            assert (method, re.sub(r"\{[^}]+\}", "{}", path)) in known, (guide.name, method, path)


def test_settings_headers_and_scopes_in_guides_exist(told: tuple[Guide, ...]) -> None:
    known = {name for name, _, _ in settings.table()} | VARIABLES
    scopes = {rule.scope for rule in RULES.values()} | {
        rule.worker_scope for rule in RULES.values()
    }
    for guide in told:
        names = set(
            re.findall(
                r"\b(?:RENSEI|WEBHOOK_SECRET|M2M|LINEAR|WORKER_API)_[A-Z0-9_]+\b", guide.text
            )
        )
        assert names <= known, guide.name
        headers = set(re.findall(r"\b(?:X|Linear|Last|Idempotency)-[A-Z][\w-]+", guide.text))
        assert {each.casefold() for each in headers} <= {each.casefold() for each in HEADERS}
        spelled = set(re.findall(r"`([a-z_]+:[a-z]+)`", guide.text))
        assert spelled <= scopes, guide.name


def test_the_numbers_of_the_guides_are_the_settings(told: tuple[Guide, ...]) -> None:
    texts = {each.name: each.text for each in told}
    now = settings.Settings()

    assert f"| every {now.heartbeat_seconds:.0f} s | `RENSEI_HEARTBEAT_SECONDS`" in texts["leases"]
    assert f"| {now.lease_seconds:.0f} s | `RENSEI_LEASE_SECONDS`" in texts["leases"]
    assert f"| every {now.poll_seconds:.0f} s | `RENSEI_POLL_SECONDS`" in texts["leases"]
    assert f"0.9 leases: {0.9 * now.lease_seconds:.0f} s" in texts["leases"]
    assert f"{now.failures_per_minute} a minute by default" in texts["authentication"]


def test_every_picture_is_drawn_and_can_be_read_aloud(
    client: FlaskClient, told: tuple[Guide, ...]
) -> None:
    for guide in told:
        blocks = re.findall(
            r"^```(sequence|states)\n(.*?)^```$", guide.text, re.MULTILINE | re.DOTALL
        )
        html = client.get(f"/docs/guides/{guide.name}").text
        drawn = re.findall(r"(?<=<figure).*?(<svg.*?</svg>)", html, re.DOTALL)
        assert len(drawn) == len(blocks) > 0, guide.name
        ids = re.findall(r'\bid="([^"]+)"', html)
        assert len(ids) == len(set(ids)), guide.name
        for (_, source), svg in zip(blocks, drawn, strict=True):
            tree = ElementTree.fromstring(svg)
            title, about = tree[0], tree[1]
            assert tree.get("role") == "img"
            assert tree.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
            assert title.text == figures.title_of(source)
            words = " ".join(each.text or "" for each in tree.iter("text"))
            for label in re.findall(r": (.+)", source):
                assert set(label.split()) <= set(words.split()), (guide.name, label)
            assert "style" not in svg
            assert "http" not in svg


def test_a_picture_keeps_within_its_frame(told: tuple[Guide, ...]) -> None:
    for guide in told:
        for kind, source in BLOCK.findall(guide.text):
            tree = ElementTree.fromstring(figures.draw(kind, source, "f"))
            width, height = float(tree.get("width", 0)), float(tree.get("height", 0))
            assert width <= 770, (guide.name, source[:40])
            for box in tree.iter("rect"):
                left, top = float(box.get("x", 0)), float(box.get("y", 0))
                assert 0 <= left <= left + float(box.get("width", 0)) <= width, (guide.name, source)
                assert 0 <= top <= top + float(box.get("height", 0)) <= height, (guide.name, source)
            for word in tree.iter("text"):
                assert 8 < float(word.get("y", 0)) <= height, (guide.name, source)


def test_words_in_a_picture_are_words() -> None:
    bad = '<script>alert(1)</script> & "x"'
    svg = figures.draw("sequence", f"{bad}\nA, B\nA -> B: {bad}", "f")

    tree = ElementTree.fromstring(svg)
    assert tree[0].text == bad
    assert "<script" not in svg


def test_a_line_that_says_nothing_stops_the_picture() -> None:
    with pytest.raises(ValueError, match="not a line of a diagram: what"):
        figures.draw("sequence", "Title\nA, B\nwhat", "f")


def test_a_guide_lets_no_html_and_no_picture_through() -> None:
    bad = "<script>alert(1)</script> ![i](https://elsewhere.test/i.png) [x](javascript:alert(1))"
    guide = Guide(
        "bad", 1, bad, bad, (), f"## {bad}\n\n{bad}\n\n```sh\n{bad}\n```\n\n| {bad} |\n|---|\n"
    )

    html = guide_prose.rendered(guide)

    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript:' not in html


@pytest.mark.parametrize(
    ("whole", "problem"),
    [
        ("# No front matter\n", "g.md does not begin with front matter"),
        ("---\norder: 1\ntitle: T\nsummary: S\n---\nText\n", "g.md has no operations"),
    ],
)
def test_a_guide_that_is_not_whole_stops_the_start(
    tmp_path: Path, whole: str, problem: str
) -> None:
    (tmp_path / "g.md").write_text(whole)

    with pytest.raises(ValueError, match=problem):
        guides.read(tmp_path)


def test_every_column_of_a_guides_tables_has_a_name(told: tuple[Guide, ...]) -> None:
    for guide in told:
        assert "<th></th>" not in guide_prose.rendered(guide), guide.name


def test_nothing_is_loaded_from_elsewhere(client: FlaskClient, told: tuple[Guide, ...]) -> None:
    for page in [*(f"/docs/guides/{each.name}" for each in told), "/docs/map"]:
        html = client.get(page).text
        assert not re.search(r"<iframe|<img|\bstyle=|@import|url\(|<script>", html), page
        for tag in re.findall(r"<(?:link|script)[^>]+>", html):
            assert "//" not in tag, page


def test_a_guide_is_as_long_as_one_reads(
    told: tuple[Guide, ...], small: Callable[..., Any]
) -> None:
    for guide in told:
        assert 400 < len(guide.text.split()) < 1600, guide.name
