"""A headless Chromium from the system before a live server. What a page asks for is noted."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from supervisor.stores import Stores
from tests.browser.live_server import LiveServer, environment, live_server
from tests.conftest import SYSTEM_KEY

# Nothing but the server under test is to be reached, by the pages or by the browser itself.
QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def server(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The server that the browser visits."""
    folder = tmp_path_factory.mktemp("browser")
    with live_server(environment(stores, SYSTEM_KEY), folder) as running:
        yield running


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium of the system. While it is there, playwright's own event loop is the running one,
    and nothing else that is asynchronous works in this process."""
    path = shutil.which("chromium")
    assert path, "Chromium is missing; on Debian: apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all the tests of this folder."""
    with chromium() as running:
        yield running


@dataclass
class Visit:
    """A page, and all that went on while it was looked at."""

    page: Page
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def _failed(request: Request) -> list[str]:
    # What is still on its way when the visitor moves on is no failure.
    moved_on = request.failure == "net::ERR_ABORTED"
    return [] if moved_on else [f"failed: {request.url}: {request.failure}"]


@pytest.fixture
def visit(browser: Browser, server: LiveServer) -> Iterator[Any]:
    """Opens pages; everything that was wrong with any of them fails the test at its end."""
    contexts = []
    visits = []

    def begin(**more: Any) -> Visit:
        context = browser.new_context(base_url=server.url, **more)
        contexts.append(context)
        made = Visit(context.new_page())
        page = made.page
        page.on("request", lambda request: made.asked.append(request.url))
        page.on("requestfailed", lambda request: made.wrong.extend(_failed(request)))
        page.on("pageerror", lambda error: made.wrong.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: (
                made.wrong.append(f"{said.type}: {said.text}")
                if said.type in {"error", "warning"}
                else None
            ),
        )
        visits.append(made)
        return made

    yield begin
    for context in contexts:
        context.close()
    foreign = [url for v in visits for url in v.asked if not url.startswith(server.url)]
    assert foreign == []
    assert [each for v in visits for each in v.wrong] == []
