"""The playground in a real browser: every operation is called from its page, by hand as it were."""

from collections.abc import Iterator

import pytest

from tests.browser.conftest import Visit
from tests.contract.live import Live, live_server, seed
from tests.contract.operations import OPERATIONS, variable

pytestmark = pytest.mark.browser

REFERENCE = "/docs/api/reference"
SIGNED = {"webhookIngest": "WEBHOOK_SECRET_LINEAR"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose only things are those that the examples speak of."""
    with live_server(tmp_path_factory.mktemp("playground")) as live:
        yield live


@pytest.fixture
def page(browser, live):
    """A page of that server; nothing it does may be wrong or lead away."""
    context = browser.new_context(base_url=live.base_url)
    page = context.new_page()
    visit = Visit(page)
    page.on("request", lambda request: visit.asked.append(request.url))
    page.on("pageerror", lambda error: visit.wrong.append(f"error: {error}"))
    page.on(
        "console",
        lambda said: visit.wrong.append(said.text) if said.type in {"error", "warning"} else None,
    )
    yield page
    context.close()
    assert [url for url in visit.asked if not url.startswith((live.base_url, "blob:"))] == []
    assert visit.wrong == []
    assert live.complaints() == []


def address(operation):
    return f"{REFERENCE}/{operation.tag.lower().replace(' ', '-')}/{operation.id}"


def open_playground(page, operation, variables):
    """The form of an operation, filled with a credential where there is one to be had."""
    page.goto(address(operation))
    page.click(".playground > .try")
    name = SIGNED.get(operation.id, variable(operation.id))
    if operation.security:
        page.fill(".pg-form input[type=password]", variables[name])


def send(page):
    """Send what the form says; the status of the answer."""
    page.click(".pg-form button[type=submit]")
    status = page.locator(".pg-status[data-status]")
    status.wait_for(timeout=10_000)
    return int(status.get_attribute("data-status"))


def test_every_operation_is_called_from_its_page(page, live):
    variables = seed(live)
    called = {}
    for operation in sorted(OPERATIONS, key=lambda each: each.method != "GET"):
        open_playground(page, operation, variables)
        status = send(page)
        if not 200 <= status < 400:
            # A call before it has ended what its example speaks of; it is made anew.
            variables = seed(live)
            open_playground(page, operation, variables)
            status = send(page)
        called[operation.id] = status

    assert {name: status for name, status in called.items() if not 200 <= status < 400} == {}
    assert len(called) == len(OPERATIONS)
