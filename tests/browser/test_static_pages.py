"""The whole static site below a path of a host that knows nothing of it."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from auth.scopes import RULES
from pages import create_pages, static_site
from tests.spec import CONTRACT

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):  # noqa: A002 - named by http.server
        """Nothing."""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The address of the site, and how many files it has."""
    folder = tmp_path_factory.mktemp("host")
    spec = CONTRACT.spec
    count = static_site.build(create_pages(spec, RULES, "https://api.test"), folder / "a" / "b")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a/b/", count
        server.shutdown()


def test_the_site_reads_links_and_searches_like_the_server(browser, host):
    address, count = host
    context = browser.new_context()
    page = context.new_page()
    wrong, asked = [], []
    page.on("request", lambda request: asked.append(request.url))
    # What is still on its way when the first page leads on is no failure.
    page.on(
        "requestfailed",
        lambda request: (
            None if request.failure == "net::ERR_ABORTED" else wrong.append(request.url)
        ),
    )
    page.on(
        "console",
        lambda said: wrong.append(f"{said.text} {said.location}") if said.type == "error" else None,
    )
    assert count > len(RULES)

    page.goto(address)
    page.wait_for_url("**/docs/api/reference.html")
    page.keyboard.press("/")
    page.keyboard.type("mintApiKey")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/authentication/mintApiKey.html")
    assert page.locator("h1").inner_text() == "Mint a new rsk_ API key"
    assert "https://api.test/api/org/" in page.locator("main").inner_text()

    page.get_by_role("link", name="KeyMinted").first.click()
    page.wait_for_url("**/components/KeyMinted.html")
    page.goto(f"{address}docs/search.html?q=mint key")
    page.locator(".results a").first.click()
    page.wait_for_url("**/mintApiKey.html")

    assert [each for each in asked if not each.startswith(address)] == []
    assert wrong == []
    context.close()
