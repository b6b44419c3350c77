"""How pages travel: compressed for whoever takes it, not sent twice, and never heavy."""

import gzip
import re

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from pages import answers
from pages.reference import Reference

OVERVIEW = "/docs/api/reference"
GZIP = {"Accept-Encoding": "gzip, br"}
HEAVIEST = 150_000


def files(html: str) -> list[str]:
    """The scripts, styles and the icon that a page asks for."""
    found = re.findall(r'<script[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', html)
    return [one or other for one, other in found]


@pytest.mark.parametrize("address", [OVERVIEW, "/docs/search?q=key", "/docs/search.json"])
def test_a_page_is_compressed_for_whoever_takes_it(client: FlaskClient, address: str) -> None:
    small = client.get(address, headers=GZIP)
    plain = client.get(address)
    refused = client.get(address, headers={"Accept-Encoding": "gzip;q=0"})

    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.data) == plain.data == refused.data
    assert "Content-Encoding" not in plain.headers
    for each in (small, plain):
        assert "Accept-Encoding" in each.headers["Vary"]
        assert int(each.headers["Content-Length"]) == len(each.data)


@pytest.mark.parametrize("headers", [GZIP, {}])
@pytest.mark.parametrize("address", [OVERVIEW, "/docs/static/reference.css", "/docs/search.json"])
def test_what_has_not_changed_is_not_sent_again(
    client: FlaskClient, address: str, headers: dict[str, str]
) -> None:
    first = client.get(address, headers=headers)
    again = client.get(address, headers=headers | {"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "no-cache"
    assert again.status_code == 304
    assert again.data == b""


def test_a_file_with_its_version_in_the_address_is_kept_for_good(client: FlaskClient) -> None:
    asked = files(client.get(OVERVIEW).text)

    assert len(asked) >= 5
    for each in asked:
        assert "immutable" in client.get(each).headers["Cache-Control"], each


def test_no_page_is_heavy_before_the_playground_opens(
    client: FlaskClient, shown: Reference
) -> None:
    pages = [OVERVIEW, *(each.address for each in shown.operations)]
    weights = {}
    for page in pages:
        html = client.get(page).text
        own = len(client.get(page, headers=GZIP).data)
        weights[page] = own + sum(len(client.get(each, headers=GZIP).data) for each in files(html))

    assert max(weights.values()) < HEAVIEST


def test_what_streams_or_decides_for_itself_is_left_alone() -> None:
    pages = Flask(__name__)
    pages.after_request(answers.travel)
    long = "x" * 5000

    @pages.get("/stream")
    def stream() -> Response:
        return Response((each for each in long), mimetype="text/event-stream")

    @pages.get("/secret")
    def secret() -> Response:
        return Response(long, mimetype="text/plain", headers={"Cache-Control": "no-store"})

    @pages.post("/change")
    def change() -> str:
        return long

    with pages.test_client() as client:
        for answer in (
            client.get("/stream", headers=GZIP),
            client.get("/secret", headers=GZIP),
            client.post("/change", headers=GZIP),
        ):
            assert answer.get_data() == long.encode()
            assert "ETag" not in answer.headers
            assert "Content-Encoding" not in answer.headers


def test_a_refused_page_is_not_kept(client: FlaskClient) -> None:
    for _ in range(2):
        answer = client.get(f"{OVERVIEW}/webhooks/noSuchOperation", headers=GZIP)
        assert answer.status_code == 404
        assert "ETag" not in answer.headers
