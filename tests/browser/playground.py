"""The playground of an operation's page, on a server whose things are those of the examples."""

from collections.abc import Iterator

import pytest

from tests.contract.live import Live, live_server, seed
from tests.contract.operations import OPERATIONS, variable

REFERENCE = "/docs/api/reference"
PHONE = {"width": 390, "height": 844}
SIGNED = {"webhookIngest": "WEBHOOK_SECRET_LINEAR"}
BY_ID = {each.id: each for each in OPERATIONS}
STATUS = ".pg-status[data-status]"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose only things are those that the examples speak of."""
    with live_server(tmp_path_factory.mktemp("playground")) as live:
        seed(live)
        yield live


@pytest.fixture
def opened(browser, live):
    """Makes pages of that server; nothing they do may be wrong or lead away."""
    contexts, asked, wrong = [], [], []

    def begin(**more):
        context = browser.new_context(base_url=live.base_url, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: wrong.append(said.text) if _is_bad(said) else None)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((live.base_url, "blob:"))] == []
    assert wrong == []
    assert live.complaints() == []


def _is_bad(said):
    # Chromium notes every answer from 400 on, which is for the test to judge.
    return said.type in {"error", "warning"} and "responded with a status of" not in said.text


@pytest.fixture
def page(opened):
    return opened()


def address(operation_id):
    tag = BY_ID[operation_id].tag.lower().replace(" ", "-")
    return f"{REFERENCE}/{tag}/{operation_id}"


def open_form(page, operation_id, credential=None):
    """Go to an operation and open its form."""
    page.goto(address(operation_id))
    page.click(".playground > .try")
    if credential is not None:
        page.fill(".pg-form input[type=password]", credential)


def send(page):
    """Send what the form says; the status of the answer."""
    page.click(".pg-form button[type=submit]")
    status = page.locator(STATUS)
    status.wait_for()
    return int(status.get_attribute("data-status"))


def refused(page, live, operations):
    """Those of the operations, called one after the other from their pages, that do not succeed."""
    variables = seed(live)
    page.goto(address(OPERATIONS[0].id))

    def call(operation):
        # By the menu, so that the credential is carried from page to page.
        page.locator(f'#menu a[href="{address(operation.id)}"]').dispatch_event("click")
        page.wait_for_url(f"**/{operation.id}")
        page.locator(f'.playground[data-form*=\'"id": "{operation.id}"\'] > .try').click()
        if operation.security:
            name = SIGNED.get(operation.id, variable(operation.id))
            field = page.locator(".pg-form input[type=password]")
            if field.input_value() != variables[name]:
                field.fill(variables[name])
        return send(page)

    found = {}
    for operation in sorted(operations, key=lambda each: each.method != "GET"):
        status = call(operation)
        if not 200 <= status < 400:
            # A call before it has ended what its example speaks of, which is made anew.
            variables = seed(live)
            status = call(operation)
        if not 200 <= status < 400:
            found[operation.id] = status
    return found
