"""The playground in a real browser: every operation is called from its page, by hand as it were."""

import json
import subprocess

import httpx
import pytest

from settings import PROJECT
from tests.browser.playground import (
    BY_ID,
    PHONE,
    SIGNED,
    STATUS,
    address,
    live,
    open_form,
    opened,
    page,
    refused,
    send,
)
from tests.contract.live import ORG_KEY, seed
from tests.contract.operations import EXAMPLE, OPERATIONS, variable
from tests.sampling import spread

__all__ = ["live", "opened", "page"]

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"


# --- operations of all kinds ---------------------------------------------------------------------


def test_an_operation_is_called_from_its_page(page, live):
    """Some of them; `make prove` calls every one."""
    assert refused(page, live, spread(OPERATIONS, 10)) == {}


def test_the_first_live_call_is_three_clicks_away(page):
    page.goto("/")

    page.locator(f'a[href="{address("getHealth")}"]:visible').first.click()
    page.click(".playground > .try")
    page.click(".pg-form button[type=submit]")

    page.locator(STATUS).wait_for()
    assert page.locator(STATUS).inner_text().startswith("200 OK")
    assert '"status": "ok"' in page.locator(".pg-answer pre").inner_text()


# --- the credential ------------------------------------------------------------------------------


def test_the_credential_outlives_the_turning_of_pages_and_not_the_page(page):
    open_form(page, "whoami", ORG_KEY)
    page.evaluate("window.same = true")

    page.locator(f'#menu a[href="{address("listApiKeys")}"]').click()
    page.wait_for_url("**/listApiKeys")
    page.click(".playground > .try")

    assert page.input_value(".pg-form input[type=password]") == ORG_KEY
    assert send(page) == 200
    assert page.locator("h1").inner_text() == BY_ID["listApiKeys"].summary
    assert page.title().startswith(BY_ID["listApiKeys"].summary)
    assert page.locator("#menu [aria-current]").get_attribute("href") == address("listApiKeys")
    page.go_back()
    page.wait_for_url("**/whoami")
    page.locator("h1", has_text=BY_ID["whoami"].summary).wait_for()
    assert page.evaluate("window.same")
    kept = page.evaluate(
        "() => JSON.stringify([localStorage, sessionStorage, document.cookie, window.name,"
        " history.state, location.href, document.documentElement.outerHTML])"
    )
    assert ORG_KEY not in kept
    assert page.context.cookies() == []
    page.reload()
    page.click(".playground > .try")
    assert page.input_value(".pg-form input[type=password]") == ""


def test_without_a_credential_pages_are_loaded_as_always(page):
    open_form(page, "whoami")
    page.evaluate("window.same = true")

    page.locator(f'#menu a[href="{address("listApiKeys")}"]').click()
    page.wait_for_url("**/listApiKeys")

    assert page.evaluate("window.same") is None


def test_a_page_that_cannot_be_fetched_is_left_to_the_browser(page):
    open_form(page, "whoami", ORG_KEY)

    page.evaluate(
        "() => { const a = document.createElement('a'); a.href = '/docs/nowhere';"
        " document.querySelector('main').append(a); a.click(); }"
    )
    page.wait_for_url("**/docs/nowhere")

    assert page.locator("h1, main").first.is_visible()


def test_a_refused_credential_is_told_and_nobody_asks_for_a_password(page):
    open_form(page, "whoami", "rsk_live_nobody")

    assert send(page) == 401
    assert "401 Unauthorized" in page.locator(STATUS).inner_text()
    assert '"error"' in page.locator(".pg-answer pre").inner_text()
    page.locator(".pg-headers summary").click()
    assert "www-authenticate" in page.locator(".pg-headers dl").inner_text()


def test_the_browsers_own_session_is_not_the_callers(page, live):
    page.context.add_cookies(
        [{"name": "wos-session", "value": seed(live)["RENSEI_SESSION"], "url": live.base_url}]
    )
    open_form(page, "whoami")

    assert send(page) == 401


# --- what is sent --------------------------------------------------------------------------------


def test_what_the_proxy_refuses_is_said(page):
    open_form(page, "getHealth")
    page.route("**/docs/playground/*", lambda route: route.continue_(post_data='{"url": "x"}'))

    page.click(".pg-form button[type=submit]")
    page.locator(".pg-status", has_text="Not sent").wait_for()

    assert "body.url: is unknown" in page.locator(".pg-status").inner_text()


def test_a_required_value_is_asked_for_before_anything_is_sent(page):
    open_form(page, "getWorker", "x")
    page.fill(".pg-form input[name=id]", "")

    page.click(".pg-form button[type=submit]")

    assert page.evaluate("document.activeElement.name") == "id"
    assert page.locator(".pg-status").inner_text() == ""


@pytest.mark.parametrize(
    ("operation_id", "name"),
    [
        ("listApiKeys", "RENSEI_ORG_KEY"),
        ("createProject", "RENSEI_ORG_KEY"),
        ("webhookIngest", "WEBHOOK_SECRET_LINEAR"),
        ("mintApiKey", "RENSEI_SESSION"),
    ],
)
def test_the_call_goes_on_as_curl(page, live, operation_id, name):
    variables = seed(live)
    open_form(page, operation_id, variables[name])
    if name == "RENSEI_SESSION":
        page.select_option(".pg-form select", "cookieAuth")
        page.fill(".pg-form input[type=password]", variables[name])

    page.click(".pg-curl summary")
    page.wait_for_function("document.querySelector('.pg-curl code').textContent !== ''")
    command = page.locator(".pg-curl code").text_content()

    assert variables[name] not in command
    done = subprocess.run(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            command.replace("curl", "curl -sS -w '\\n%{http_code}'", 1),
        ],
        env={"RENSEI_CREDENTIAL": variables[name], "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.rpartition("\n")[2].startswith("2"), command + done.stdout + done.stderr


def test_pages_without_a_server_ask_for_one_and_call_it(page, live):
    page.goto(address("whoami"))
    # As the static site has it: no proxy.
    page.evaluate(
        "() => { const s = document.querySelector('.playground');"
        " const form = JSON.parse(s.dataset.form);"
        " s.dataset.form = JSON.stringify({...form, proxy: null}); }"
    )
    page.click(".playground > .try")
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    page.fill(".pg-form input[type=url]", f"{live.base_url}/")
    page.fill(".pg-form input[type=password]", ORG_KEY)

    assert send(page) == 200
    assert [url for url in asked if "/docs/static/" not in url] == [
        f"{live.base_url}/api/cli/whoami"
    ]


# --- what comes back -----------------------------------------------------------------------------


def test_a_stream_is_shown_while_it_runs_and_stopped(page, live):
    seed(live)
    open_form(page, "streamEvents", ORG_KEY)
    assert send(page) == 200
    page.locator(STATUS, has_text="live").wait_for()
    shown = page.locator(".pg-events li").count()

    answer = httpx.post(
        f"{live.base_url}/api/public/sessions/{EXAMPLE['public_session']}/stop",
        json={},
        headers={"Authorization": f"Bearer {ORG_KEY}"},
    )
    assert answer.is_success, answer.text
    page.locator(".pg-events li").nth(shown).wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()

    page.locator(".pg-status", has_text="stopped").wait_for()
    assert page.get_by_role("button", name="Stop", exact=True).count() == 0


def test_hostile_text_stays_text(page):
    told = {
        "status": 200,
        "headers": [["content-type", "application/json"], [HOSTILE, HOSTILE]],
    }
    open_form(page, "getHealth")
    page.route(
        "**/docs/playground/*",
        lambda route: route.fulfill(
            body=json.dumps({HOSTILE: HOSTILE}), headers={"Rensei-Answer": json.dumps(told)}
        ),
    )

    assert send(page) == 200

    page.click(".pg-headers summary")
    assert HOSTILE in page.locator(".pg-answer pre").inner_text()
    assert HOSTILE in page.locator(".pg-headers").inner_text()
    assert page.locator(".pg-answer img, .pg-answer script").count() == 0


def test_a_file_is_offered_and_not_shown(page):
    open_form(page, "exportAuditEvents", ORG_KEY)

    assert send(page) == 200
    with page.expect_download() as download:
        page.get_by_role("link", name="Save").click()

    assert download.value.suggested_filename == "exportAuditEvents.gz"
    assert download.value.path().read_bytes()[:2] == b"\x1f\x8b"


def test_json_is_laid_out_without_being_changed(page):
    page.goto(address("getHealth"))
    text = '{"a":12345678901234567890,"b":[],"c":{"d":[1.0,{"e\\"":"x, [y]: {z}"}]},"a":1e400}'

    made = page.evaluate(
        "async (text) => (await import('/docs/static/playground/json.js')).indented(text)", text
    )

    assert made.splitlines()[:3] == ["{", '  "a": 12345678901234567890,', '  "b": [],']
    assert "".join(made.split()) == "".join(text.split())
    assert json.loads(made) == json.loads(text)
    painted = page.evaluate(
        """async (text) => {
          const { paint } = await import('/docs/static/playground/json.js');
          const place = document.createElement('p'); paint(place, text);
          return [place.textContent, [...place.children].map((e) => e.className).join('')];
        }""",
        made,
    )
    assert painted == [made, "knkkknkskn"]


def test_events_are_the_same_wherever_the_wire_cuts_them(page):
    page.goto(address("getHealth"))
    text = (
        ': hello\n\nevent: a\r\nid: 1\r\ndata: {"x":1}\r\ndata:  ü\r\n\r\n'
        "retry: 5\n\ndata\n\nevent: lost\n\ndata: b\rid: 2\r\r data: no\n\ndata: unfinished"
    )

    found = page.evaluate(
        """async ([text, size]) => {
          const { events } = await import('/docs/static/playground/stream.js');
          const bytes = new TextEncoder().encode(text), all = [];
          const of = (size) => new ReadableStream({ start(c) {
            for (let i = 0; i < bytes.length; i += size) c.enqueue(bytes.slice(i, i + size));
            c.close(); } });
          for (const size of [1, 2, 3, 7, 1000]) {
            const got = []; for await (const e of events(of(size))) got.push(e); all.push(got);
          }
          return all;
        }""",
        [text, 1],
    )

    whole = [
        {"event": "a", "id": "1", "data": '{"x":1}\n ü'},
        {"data": ""},
        {"data": "b", "id": "2"},
    ]
    assert found == [whole] * 5


# --- for everybody -------------------------------------------------------------------------------


def test_the_keyboard_does_it_all(page):
    page.goto(address("whoami"))
    page.locator(".playground > .try").focus()

    page.keyboard.press("Enter")
    page.locator(".pg-form").wait_for()
    assert page.evaluate("document.activeElement.closest('.pg-form') !== null")
    while page.evaluate("document.activeElement.type") != "password":
        page.keyboard.press("Tab")
    page.keyboard.type(ORG_KEY)
    page.keyboard.press("Enter")

    page.locator(STATUS).wait_for()
    assert page.locator(STATUS).get_attribute("data-status") == "200"
    assert page.locator(STATUS).get_attribute("role") == "status"
    page.locator(".playground > .try").focus()
    page.keyboard.press("Enter")
    page.locator(".pg-form").wait_for(state="hidden")
    assert page.locator(".playground > .try").get_attribute("aria-expanded") == "false"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(opened, scheme):
    page = opened(color_scheme=scheme, viewport=PHONE, bypass_csp=True)
    page.add_init_script(path=PROJECT / "node/node_modules/axe-core/axe.min.js")
    found = {}
    for operation_id in ("listPublicSessions", "webhookIngest"):
        name = SIGNED.get(operation_id, variable(operation_id))
        open_form(page, operation_id, ORG_KEY if name == "RENSEI_ORG_KEY" else "secret")
        send(page)
        page.evaluate(
            "document.querySelectorAll('.playground details').forEach(d => d.open = true)"
        )
        broken = page.evaluate(
            "async () => (await axe.run('.playground')).violations"
            ".map(v => v.id + ': ' + v.nodes[0].html)"
        )
        wide = page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]
        if broken or wide:
            found[operation_id] = (broken, wide)

    assert found == {}


def test_nothing_of_the_playground_is_loaded_before_it_is_opened(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(address("mintApiKey"), wait_until="networkidle")
    before = [url for url in asked if "/playground/" in url or url.endswith("playground.css")]
    page.click(".playground > .try")
    page.locator(".pg-form").wait_for()

    assert before == []
    assert any(url.endswith("/playground/panel.js") for url in asked)
