"""The fleet page in a real browser, before a fleet at work: live, quiet, and able to act."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.browser.axe import axe_script, judge
from tests.conftest import SYSTEM_KEY

pytestmark = pytest.mark.browser

DESK = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@dataclass
class Fleet:
    """An organization with a worker at work, over the server's own doors."""

    http: httpx.Client
    key: str
    project_id: str
    worker_id: str
    worker: dict[str, str]

    def queue(self, title="Keep the currency", identifier=None) -> dict[str, Any]:
        """Put a session into the queue."""
        name = identifier or f"ENG-{secrets.randbelow(10**6)}"
        answer = self.http.post(
            "/api/sessions",
            headers={"Authorization": f"Bearer {self.key}"},
            json={
                "projectId": self.project_id,
                "issueId": name,
                "issueIdentifier": name,
                "title": title,
                "prompt": title,
            },
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def claim(self) -> list[str]:
        """Have the worker take what there is, and begin with it."""
        work = self.http.get(f"/api/workers/{self.worker_id}/poll", headers=self.worker).json()
        ids = [each["sessionId"] for each in work["work"]]
        for session_id in ids:
            self.report(session_id, "running")
        return ids

    def report(self, session_id: str, status: str, **more: Any) -> None:
        answer = self.http.post(
            f"/api/sessions/{session_id}/status",
            headers=self.worker,
            json={"workerId": self.worker_id, "status": status, **more},
        )
        assert answer.status_code == 200, answer.text

    def status(self, session_id: str) -> str:
        """What the worker is told of its session."""
        answer = self.http.get(f"/api/sessions/{session_id}/status", headers=self.worker)
        return str(answer.json()["status"])


@pytest.fixture
def fleet(server):
    with httpx.Client(base_url=server.url, timeout=30) as http:
        system = {"Authorization": f"Bearer {SYSTEM_KEY}"}

        def made(path, what, **body):
            answer = http.post(path, headers=system, json=body)
            assert answer.status_code == 201, answer.text
            return answer.json()[what]

        slug = f"org-{secrets.token_hex(4)}"
        org = made("/api/admin/organizations", "organization", name="Acme", slug=slug)["id"]
        project = made(f"/api/org/{org}/projects", "project", name="Billing", slug=f"b-{slug}")
        key = made(f"/api/org/{org}/keys", "key", name="Operator", projects="all")["fullKey"]
        joined = http.post(
            "/api/workers/register",
            headers={"Authorization": f"Bearer {key}"},
            json={"hostname": "forge-01", "capacity": 3, "projectId": project["id"]},
        ).json()
        worker = {"Authorization": f"Bearer {joined['runtimeToken']}"}
        yield Fleet(http, key, project["id"], joined["workerId"], worker)


def signed_in(visit, fleet, **more):
    page = visit(**{"viewport": DESK, **more}).page
    page.goto("/fleet")
    return sign_in(page, fleet)


def sign_in(page, fleet):
    page.get_by_label("API key").fill(fleet.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector('[data-part="glance"]')
    return page


def test_signing_in_and_out_by_hand(visit, fleet):
    page = signed_in(visit, fleet)

    assert page.get_by_role("heading", level=1).inner_text().startswith("Acme")
    page.get_by_role("button", name="Sign out").click()

    assert page.get_by_role("status").inner_text() == "You are signed out."
    page.goto("/fleet")
    assert page.get_by_label("API key").is_visible()


def test_news_arrive_without_a_reload(visit, fleet):
    page = signed_in(visit, fleet)
    page.wait_for_selector('[data-live="on"]')
    page.evaluate("window.stayed = true")

    fleet.queue(identifier="NEWS-1")

    page.locator(".feed li", has_text="NEWS-1").first.wait_for(timeout=15_000)
    fleet.claim()
    page.locator(".feed li", has_text="NEWS-1").filter(has_text="working").wait_for(timeout=15_000)
    page.locator(".sessions tr", has_text="NEWS-1").filter(has_text="forge-01").wait_for()
    assert page.evaluate("window.stayed") is True


def test_a_stop_pressed_on_the_page_reaches_the_worker(visit, fleet):
    fleet.queue(identifier="STOP-1")
    (session,) = fleet.claim()
    page = signed_in(visit, fleet)

    page.get_by_role("link", name="STOP-1").first.click()
    page.get_by_text("Stop the session").click()
    page.get_by_role("button", name="Stop now").click()

    page.get_by_role("status").get_by_text("The session is stopped.").wait_for()
    assert fleet.status(session) == "stopped"
    page.locator('[data-part="facts"] .state', has_text="stopped").wait_for(timeout=15_000)


def test_without_scripts_it_reads_and_acts_the_same(visit, fleet):
    fleet.queue(identifier="PLAIN-1")
    (session,) = fleet.claim()
    page = signed_in(visit, fleet, java_script_enabled=False)

    page.get_by_role("link", name="PLAIN-1").first.click()
    page.get_by_label("Prompt").fill("Mind the rounding")
    page.get_by_role("button", name="Send").click()
    said = page.get_by_role("status").inner_text()
    page.get_by_text("Stop the session").click()
    page.get_by_role("button", name="Stop now").click()

    assert said == "The prompt is on its way."
    assert page.get_by_role("status").inner_text() == "The session is stopped."
    assert fleet.status(session) == "stopped"


def test_a_prompt_that_is_being_written_stays_while_news_arrive(visit, fleet):
    fleet.queue(identifier="WRITE-1")
    (session,) = fleet.claim()
    page = signed_in(visit, fleet)
    page.get_by_role("link", name="WRITE-1").first.click()
    page.get_by_label("Prompt").fill("Half a thou")

    fleet.http.post(
        f"/api/sessions/{session}/activity",
        headers=fleet.worker,
        json={
            "workerId": fleet.worker_id,
            "activity": {"type": "thought", "content": "Reading the ledger"},
        },
    )

    page.get_by_text("Reading the ledger").wait_for(timeout=15_000)
    assert page.get_by_label("Prompt").input_value() == "Half a thou"
    assert page.evaluate("document.activeElement.id") == "prompt"


def test_what_agents_write_stays_text_in_the_browser(visit, fleet):
    fleet.queue(title=HOSTILE, identifier="EVIL-1")
    (session,) = fleet.claim()
    fleet.http.post(
        f"/api/sessions/{session}/activity",
        headers=fleet.worker,
        json={
            "workerId": fleet.worker_id,
            "activity": {"type": "thought", "content": HOSTILE},
        },
    )
    page = signed_in(visit, fleet)

    page.get_by_text(HOSTILE).first.wait_for()
    title = page.title()
    page.get_by_role("link", name="EVIL-1").first.click()
    page.locator(".words").get_by_text(HOSTILE).wait_for()

    assert "owned" not in title + page.title()
    assert page.locator("main img, main script").count() == 0


def test_axe_finds_nothing_in_either_theme(visit, fleet):
    for number in range(4):
        fleet.queue(identifier=f"AXE-{number}")
    fleet.report(fleet.claim()[0], "failed")
    page = visit(viewport=DESK, bypass_csp=True).page
    page.context.add_init_script(axe_script())
    page.goto("/fleet")
    assert judge(page) == []
    sign_in(page, fleet)
    session = page.locator(".sessions tbody a").first.get_attribute("href")

    for address in ("/fleet", session):
        page.goto(address)
        assert judge(page) == [], address
    page.set_viewport_size(PHONE)
    page.goto("/fleet")
    assert judge(page, both=False) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways(visit, fleet, scheme):
    for number in range(6):
        fleet.queue(identifier=f"SHOW-{number}")
    fleet.report(fleet.claim()[0], "failed")
    page = signed_in(visit, fleet, color_scheme=scheme)
    session = page.locator(".sessions tbody a").first.get_attribute("href")

    for address in ("/fleet", session):
        page.goto(address)
        for viewport in (DESK, PHONE):
            page.set_viewport_size(viewport)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
