"""The fleet page over the whole application: who sees what, and what is done from there."""

import re
import secrets

import pytest

from jobs.seal_audit import seal_audit
from tests.client import BASE_URL

ALL = ["glance", "charts", "sessions", "feed", "workers", "webhooks", "audit"]
HOSTILE = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script>{{ 7 * 7 }}"


async def read(caller, address="/fleet", status=200):
    answer = await caller.get(address)
    assert answer.status_code == status, answer.text
    return answer.text


def parts(text):
    return re.findall(r'data-part="(\w+)"', text)


def form(caller, address, origin=BASE_URL, **fields):
    return caller.post(address, data=fields, headers={"Origin": origin})


async def public_id(make, session_id):
    return (await make.stored(session_id)).public_id


# --- signing in and out ---


async def test_without_a_session_there_is_the_form_and_nothing_else(anonymous):
    text = await read(anonymous, "/fleet")

    assert 'action="/fleet/sign-in"' in text
    assert parts(text) == []
    assert 'action="/fleet/sign-in"' in await read(anonymous, "/fleet/sessions/0123456789abcdef")


async def test_a_key_is_exchanged_for_the_cookie_and_the_cookie_opens_the_page(make):
    caller = make.client()

    signed_in = await form(caller, "/fleet/sign-in", key=f" {make.org_key}\n")

    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/fleet")
    cookie = signed_in.headers["set-cookie"]
    assert cookie.startswith("wos-session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert make.org_key not in signed_in.text + cookie
    assert parts(await read(caller)) == ALL


@pytest.mark.parametrize("key", ["", "rsk_live_" + "0" * 64, "ключ", "a\x00b"])
async def test_a_key_that_is_none_leads_back_to_the_form(anonymous, key):
    answer = await form(anonymous, "/fleet/sign-in", key=key)

    assert answer.status_code == (401 if key else 400)
    assert 'id="refused"' in answer.text
    assert "set-cookie" not in answer.headers


async def test_whoever_signs_out_has_no_session_any_more(make):
    browser = await make.browser()

    answer = await form(browser, "/fleet/sign-out")

    assert answer.headers["location"] == "/fleet?did=signed-out"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert parts(await read(browser, status=401)) == []
    assert (await browser.get("/fleet/parts?parts=workers")).status_code == 401
    assert (await form(browser, "/fleet/sign-out")).status_code == 303


async def test_a_revoked_key_ends_the_page(make):
    answer = await make.key_answer()
    browser = await make.browser(answer["fullKey"])
    await read(browser)

    await make.org.delete(f"/api/org/{make.org_id}/keys/{answer['id']}")

    assert parts(await read(browser, status=401)) == []


# --- who sees what ---


async def test_the_page_shows_what_goes_on(make, run_job):
    worker = await make.worker(hostname="forge-77", capacity=3)
    working = await make.claimed(worker, issue_title="Keep the currency", total_cost_usd=1.5)
    await make.session(issue_identifier="WAIT-1")
    await make.session(waits_for="person", issue_identifier="ASK-1")
    await make.dead_event(type="linear.issue.updated", outcome="KeyError")
    done = await make.session()
    await make.end(done)

    text = await read(await make.browser())

    for word in ("forge-77", "1 / 3", "Keep the currency", "$1.50", "WAIT-1", "ASK-1", "KeyError"):
        assert word in text, word
    assert f"/fleet/sessions/{await public_id(make, working)}" in text
    assert "completed" in text
    assert "workers gave it back twenty times" in text


async def test_a_fleet_without_workers_is_well_only_while_nothing_waits(make):
    browser = await make.browser()

    empty = await read(browser, "/fleet/parts?parts=glance")
    await make.session()
    waiting = await read(browser, "/fleet/parts?parts=glance")
    await make.worker()
    served = await read(browser, "/fleet/parts?parts=glance")

    assert "nobody is there" in empty
    assert "nobody takes the queue" in waiting
    assert "all well" in served
    assert "all well" not in empty + waiting


async def test_a_session_without_an_issue_says_so(make):
    await make.session(issue_identifier="")

    assert "No issue" in await read(await make.browser())


async def test_audit_rows_are_shown_as_verified_because_they_were(make, run_job):
    await run_job(seal_audit)
    text = await read(await make.browser(), "/fleet/parts?parts=audit")

    assert text.count('class="mark verified"') > 2
    assert "broken" not in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("update audit_events set event_type = 'other'", "its content is not what was hashed"),
        ("update audit_events set signature = sha512(signature)", "its signature is wrong"),
        ("delete from audit_events", "missing; row"),
    ],
)
async def test_a_row_that_was_changed_is_shown_as_broken(make, superuser, run_job, change, named):
    browser = await make.browser()
    await run_job(seal_audit)
    assert "mark broken" not in await read(browser, "/fleet/parts?parts=audit")

    await superuser.execute(
        f"{change} where workspace_id = %(org)s and sequence_number = ("
        "select size - 2 from audit_chains where workspace_id = %(org)s)",
        {"org": make.org_id},
    )
    text = await read(browser, "/fleet/parts?parts=audit")

    assert text.count('class="mark broken"') == 1
    assert named in text


async def test_an_end_that_was_cut_off_is_shown_as_broken(make, superuser, run_job):
    browser = await make.browser()
    await run_job(seal_audit)
    for cut, named in ((1, "is not the row that the chain ended with"), (8, "rows are missing")):
        await superuser.execute(
            "delete from audit_events where workspace_id = %(org)s and sequence_number > ("
            "select size - %(cut)s from audit_chains where workspace_id = %(org)s)",
            {"org": make.org_id, "cut": cut},
        )
        assert named in await read(browser, "/fleet/parts?parts=audit")


async def test_another_organization_sees_nothing_of_it(make):
    worker = await make.worker(hostname="secret-host")
    session = await make.claimed(worker, issue_title="Secret title", issue_identifier="SECRET-1")
    await make.dead_event(type="secret.type")
    other = await make.organization()
    await make.project(other)
    browser = await make.browser(await make.key(other))

    text = await read(browser)
    of_session = await browser.get(f"/fleet/sessions/{await public_id(make, session)}")

    assert parts(text) == ALL
    assert "secret" not in text.lower()
    assert of_session.status_code == 404


async def test_a_key_of_one_project_sees_that_project_alone(make):
    other = await make.project()
    mine = await make.key(projects=[other], scopes=["sessions:read"])
    await make.worker(hostname="not-mine")
    await make.session(issue_identifier="THEIRS-1")
    await make.session(other, issue_identifier="MINE-1")
    browser = await make.browser(mine)

    text = await read(browser)

    assert parts(text) == ["glance", "charts", "sessions", "feed", "workers"]
    assert "MINE-1" in text
    assert "THEIRS-1" not in text
    assert "not-mine" not in text
    for state in ("working", "queued", "parked", "completed", "failed", "stopped"):
        assert "THEIRS-1" not in await read(browser, f"/fleet?state={state}")


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [
        (["audit:read"], ["audit"]),
        (["webhooks:read"], ["webhooks"]),
        (["sessions:read"], ["glance", "charts", "sessions", "feed", "workers"]),
        (["projects:read"], []),
    ],
)
async def test_a_part_is_shown_to_who_has_its_scope(make, scopes, seen):
    await make.dead_event()
    await make.session(issue_identifier="HIDDEN-1")
    browser = await make.browser(await make.key(scopes=scopes))

    text = await read(browser)

    assert parts(text) == seen
    assert parts(await read(browser, f"/fleet/parts?parts={','.join(ALL)}")) == seen
    assert ("HIDDEN-1" in text) == ("sessions" in seen)
    assert ("RuntimeError" in text) == ("webhooks" in seen)
    assert "Some parts are not shown" in text
    assert "/replay" not in text


async def test_who_may_only_look_is_offered_no_form_and_refused_one(make):
    session = await public_id(make, await make.session())
    event = await make.dead_event()
    browser = await make.browser(await make.key(scopes=["sessions:read", "webhooks:read"]))

    text = await read(browser, f"/fleet/sessions/{session}")
    refused = [
        await form(browser, f"/fleet/sessions/{session}/stop"),
        await form(browser, f"/fleet/sessions/{session}/prompt", prompt="x"),
        await form(browser, f"/fleet/webhooks/{event}/replay"),
    ]

    assert re.findall(r'action="(\S+)"', text) == ["/fleet/sign-out"]
    assert [answer.status_code for answer in refused] == [403] * 3


# --- what is done from there ---


async def test_a_stop_reaches_the_worker(make):
    worker = await make.worker()
    session = await make.claimed(worker)
    browser = await make.browser()
    address = f"/fleet/sessions/{await public_id(make, session)}"

    answer = await form(browser, f"{address}/stop")

    assert (answer.status_code, answer.headers["location"]) == (303, f"{address}?did=stopped")
    status = await worker.client.get(f"/api/sessions/{session}/status")
    assert status.json()["status"] == "stopped"
    assert "The session is stopped." in await read(browser, f"{address}?did=stopped")


async def test_a_prompt_reaches_the_worker_as_it_was_typed(make):
    worker = await make.worker()
    session = await make.claimed(worker)
    await worker.client.post(
        f"/api/sessions/{session}/status", json={"workerId": worker.id, "status": "running"}
    )
    browser = await make.browser()

    answer = await form(
        browser,
        f"/fleet/sessions/{await public_id(make, session)}/prompt",
        prompt="Zwei Zeilen:\r\nå & <b>b</b>",
    )

    polled = (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()
    (message,) = polled["inboxMessages"][session]
    assert answer.status_code == 303
    assert message["payload"] == "Zwei Zeilen:\nå & <b>b</b>"


async def test_a_dead_event_goes_back_into_its_line(make, audit_log):
    event = await make.dead_event()

    answer = await form(await make.browser(), f"/fleet/webhooks/{event}/replay")

    assert (answer.status_code, answer.headers["location"]) == (303, "/fleet?did=replayed")
    assert ("webhook.replayed", event) in await audit_log()


async def test_what_cannot_be_done_is_said_by_the_operation_itself(make):
    browser = await make.browser()
    other = await make.project()
    mine = await make.browser(await make.key(projects=[other], scopes=["sessions:write"]))
    theirs = await public_id(make, await make.session())

    nowhere = await form(browser, "/fleet/sessions/0123456789abcdef/stop")
    empty = await form(browser, f"/fleet/sessions/{theirs}/prompt", prompt="  ")
    foreign = await form(mine, f"/fleet/sessions/{theirs}/stop")

    assert (nowhere.status_code, empty.status_code, foreign.status_code) == (404, 400, 404)
    assert "Session not found" in nowhere.text
    assert "prompt" in empty.text


async def test_the_script_is_answered_in_json(make):
    session = await public_id(make, await make.session())
    browser = await make.browser()
    script = {"Accept": "application/json"}

    done = await browser.post(f"/fleet/sessions/{session}/stop", headers=script)
    refused = await browser.post("/fleet/sessions/0123456789abcdef/stop", headers=script)

    assert (done.status_code, done.json()) == (200, {"said": "The session is stopped."})
    assert (refused.status_code, refused.json()) == (404, {"said": "Session not found"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8081"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_what_another_page_sends_does_nothing(make, headers):
    session = await make.session()
    event = await make.dead_event()
    browser = await make.browser()
    del browser.headers["Origin"]
    name = await public_id(make, session)

    answers = [
        await browser.post(address, data={"prompt": "x", "key": make.org_key}, headers=headers)
        for address in (
            f"/fleet/sessions/{name}/stop",
            f"/fleet/sessions/{name}/prompt",
            f"/fleet/webhooks/{event}/replay",
            "/fleet/sign-in",
            "/fleet/sign-out",
        )
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert (await make.stored(session)).status == "pending"
    await read(browser)


async def test_a_change_without_any_origin_does_nothing(make):
    session = await make.session()
    browser = await make.browser()
    del browser.headers["Origin"]

    answer = await browser.post(f"/fleet/sessions/{await public_id(make, session)}/stop")

    assert answer.status_code == 403
    assert (await make.stored(session)).status == "pending"


@pytest.mark.parametrize(
    "address", ["/fleet/sign-in", "/fleet/sessions/x/stop", "/fleet/webhooks/x/replay"]
)
async def test_looking_changes_nothing(make, address):
    answer = await (await make.browser()).get(address)

    assert answer.status_code == 405


# --- what agents and strangers write ---


async def test_what_agents_write_stays_text(make):
    worker = await make.worker(hostname=HOSTILE, version=HOSTILE[:40], region=HOSTILE[:40])
    session = await make.claimed(
        worker, issue_title=HOSTILE, issue_identifier=HOSTILE, work_type="development"
    )
    await make.session(
        issue_title=HOSTILE, issue_identifier=HOSTILE, status="failed", failure_reason=HOSTILE
    )
    posted = await worker.client.post(
        f"/api/sessions/{session}/activity",
        json={"workerId": worker.id, "activity": {"type": "thought", "content": HOSTILE}},
    )
    assert posted.status_code < 300, posted.text
    await make.dead_event(type=HOSTILE, outcome=HOSTILE, event_name=HOSTILE, status="parked")
    browser = await make.browser()

    texts = [
        await read(browser),
        await read(browser, f"/fleet/sessions/{await public_id(make, session)}"),
        await read(
            browser, "/fleet?did=" + "%3Cscript%3E" + "&state=%22%3E%3Cimg&span=%22%3E%3Cimg"
        ),
    ]

    for text in texts:
        assert "<img" not in text
        assert "alert(2)</script>" not in text
        assert "onerror=alert(1)>" not in text
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", re.sub(r"&lt;.*?&gt;", "", text))
        scripts = re.findall(r"<script[^>]*>", text)
        assert [re.search(r'src="/docs/static/(\w+)\.js"', each)[1] for each in scripts] == [
            "theme", "reference", "fleet",
        ]  # fmt: skip
    assert "{{ 7 * 7 }}" in texts[0]
    assert "&lt;script&gt;alert(2)" in texts[1]


async def test_pages_are_kept_by_nobody_and_load_nothing_foreign(make):
    browser = await make.browser()
    for address in ("/fleet", "/fleet/parts?parts=workers", "/fleet/nowhere", "/fleet/sessions/x"):
        answer = await browser.get(address)
        policy = answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store", address
        assert "default-src 'self'" in policy, address
        assert "unsafe" not in policy, address
        assert "frame-ancestors 'none'" in policy, address
        assert "http" not in re.sub(
            r"http://www\.w3\.org|http://127\.0\.0\.1:8080", "", answer.text
        )


async def test_an_unknown_address_is_refused_as_a_page(anonymous):
    answer = await anonymous.get(f"/fleet/{secrets.token_hex(4)}")

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_the_form_says_where_it_works(anonymous):
    answer = await anonymous.get("/fleet", headers={"Host": "localhost:8080"})

    assert f'href="{BASE_URL}/fleet"' in answer.text
    assert "own address is another" not in await read(anonymous)
