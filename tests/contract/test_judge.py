"""`make contract` judges a running server, finds what is wrong with it, and harms nothing."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any, Final

import psycopg
import pytest

from contract import Operation
from scripts import judge as judging
from scripts.judge import (
    NOWHERE,
    Answer,
    Guard,
    Report,
    Server,
    could_not_serve,
    judge_refusals,
)
from settings import PROJECT
from tests.contract.live import Live, live_server, seed
from tests.contract.operations import CONTRACT, EXAMPLE, OPERATIONS, example_of

SHARE: Final = float(os.environ.get("PROVE_SHARE") or 1)

THINGS: Final = (
    "select id, name, revoked_at from api_keys where id = any(%(keys)s) order by id",
    "select id, revoked_at from m2m_clients where id = %(m2m_client)s",
    "select * from workspace_mappings where id = %(mapping)s",
    "select * from organizations where id = %(organization)s",
    "select provider, secret_encrypted from org_webhook_secrets where org_id = %(organization)s",
    (
        "select id, status, worker_id, lease_epoch, lost_at from sessions"
        " where created_at <= %(opened)s order by id"
    ),
    "select * from workers where id in (%(worker)s, %(daemon)s) order by id",
    "select * from credentials order by id",
    "select token_hash, ended_at from browser_sessions where created_at = %(opened)s",
    "select id, name, slug from projects where id = %(project)s",
    "select * from mutations order by id",
)
"""Everything that stood on the server before it was judged."""


KEYS: Final = ("RENSEI_ORG_KEY", "RENSEI_WORKER_KEY")[: 2 if SHARE == 1 else 1]
"""A part of the proofs judges with the key that reaches further."""


def judge(base_url: str, key: str) -> "subprocess.CompletedProcess[str]":
    """Run the script, as quick as it can be."""
    command = [sys.executable, "-W", "ignore", "scripts/judge.py", "--base-url", base_url]
    return subprocess.run(
        [*command, "--key", key, "--examples", "2"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def stored(live: Live, opened: Any) -> list[Any]:
    keys = ["key_of_the_org", "key_of_the_workers", EXAMPLE["key"]]
    with psycopg.connect(live.owner_url) as db:
        return [
            db.execute(query, {**EXAMPLE, "keys": keys, "opened": opened}).fetchall()
            for query in THINGS
        ]


@pytest.mark.prove
@pytest.mark.parametrize("whose", KEYS)
def test_a_server_that_keeps_the_contract_is_found_sound_and_left_whole(whose, tmp_path, capsys):
    with live_server(tmp_path / "server", RENSEI_FAILURES_PER_MINUTE="120") as live:
        key = seed(live, waiting=5)[whose]
        with psycopg.connect(live.owner_url) as db:
            opened = db.execute("select created_at from browser_sessions").fetchone()[0]
        before = stored(live, opened)

        done = judge(live.base_url, key)

        after = stored(live, opened)
        complaints = live.complaints()
    summary = done.stdout[done.stdout.rfind("\njudged ") :]
    with capsys.disabled():
        print(f"\njudge with {whose}: {summary.strip()}")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert summary.startswith(f"\njudged {len(OPERATIONS)} operations: ")
    assert " 0 findings\n" in summary
    assert after == before
    assert complaints == []


class Obliging(BaseHTTPRequestHandler):
    """A server that refuses nothing."""

    status = 200
    body = b'{"ok": true}'

    def answer(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_TRACE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(kind: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def obliging() -> Any:
    return serving(Obliging)


def strict(status: int = 401, told: Any = None) -> Any:
    """A server that refuses everything, in the same words."""
    body = json.dumps(told or {"error": "Unknown credential"}).encode()
    return serving(type("Strict", (Obliging,), {"status": status, "body": body}))


def test_a_server_that_refuses_nothing_is_found_out():
    report = Report()

    with obliging() as base_url:
        judge_refusals(Server(base_url, "rsk_live_" + "0" * 64), CONTRACT, report)

    assert len(report.findings) == report.asked
    for operation in OPERATIONS:
        named = f"{operation.method} {operation.path} with "
        told = [each.removeprefix(named) for each in report.findings if each.startswith(named)]
        assert ("no credential: 200 where 401 or 429 belongs" in told) == bool(operation.security)
        assert ("NaN: 200 where 400 belongs" in told) == ("requestBody" in operation.raw)
    assert "GET /api/nowhere: 200 where 400 or 404 belongs" in report.findings


def test_where_nobody_serves_it_says_so():
    with obliging() as base_url:
        pass

    done = judge(base_url, "")

    assert done.returncode == 2
    assert f"{base_url} does not answer" in done.stdout


def test_a_key_that_the_server_does_not_know_is_told_at_once():
    with strict() as base_url:
        done = judge(base_url, "rsk_live_" + "0" * 64)

    assert done.returncode == 2
    assert f"{base_url} does not know this key (401)" in done.stdout


@pytest.mark.parametrize("reason", ["completed", "interrupted", "server_unavailable"])
def test_a_run_that_was_cut_short_is_no_all_clear(monkeypatch, capsys, reason):
    run = {
        "complete": True,
        "stop_reason": reason,
        "operations": {"total": 117, "tested": 81},
        "test_cases": {"generated": 268},
        "failures": [],
        "errors": [],
    }
    monkeypatch.setattr(judging, "judge_refusals", lambda *_: None)
    monkeypatch.setattr(judging, "judge_by_schemathesis", lambda *_: run)

    with obliging() as base_url:
        status = judging.main(["--base-url", base_url, "--seconds", "25"])

    told = "cut short (interrupted) with 81 of 117 operations begun; it had 25 seconds"
    assert status == (reason != "completed")
    assert (told in capsys.readouterr().out) == (reason == "interrupted")


def test_an_error_of_json_rpc_is_a_refusal_where_the_contract_says_so_and_nowhere_else():
    told = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no JSON"}}

    with strict(400, told) as base_url:
        report = Report()
        judge_refusals(Server(base_url, ""), CONTRACT, report)

    what = [each for each in report.findings if each.endswith('NaN: 400 without {"error": "…"}')]
    assert 'POST /api/sessions with NaN: 400 without {"error": "…"}' in what
    assert not any("/api/mcp/" in each for each in what)


def test_a_503_that_the_contract_names_and_words_is_no_fault_and_any_other_is():
    ingest = next(each for each in OPERATIONS if each.id == "webhookIngest")
    why = b'{"error": "No signing secret for github is configured"}'

    assert could_not_serve(ingest, Answer(503, {}, why)) == json.loads(why)["error"]
    assert could_not_serve(ingest, Answer(503, {}, b"upstream is away")) is None
    assert could_not_serve(ingest, Answer(500, {}, why)) is None


def test_made_up_requests_about_things_of_others_are_led_nowhere():
    guard = Guard()

    for operation in OPERATIONS:
        for method in {operation.method, "DELETE", "PUT"} - {"GET"}:
            case = made_up(operation, method)
            guard.steer(operation, case)

            kept = {name for name, value in case.path_parameters.items() if value != NOWHERE}
            assert kept <= {"orgId", "provider"}, operation.id
            assert "orgId" not in kept or method == "POST" or len(case.path_parameters) > 1
            assert (case.body or {}).get("workerId") in {None, NOWHERE}
            assert (case.body or {}).get("machineId", "judge-").startswith("judge-")
            assert (case.body or {}).get("workspaceId", "judge-").startswith("judge-")


def test_no_work_is_claimed_even_for_a_worker_of_the_run():
    guard = Guard()
    guard.made = {"id": {"wkr_own": ("workersRegister", {})}}
    poll = next(o for o in OPERATIONS if o.id == "workerPoll")
    case = SimpleNamespace(query={}, method="GET", path_parameters={"id": "wkr_own"}, body=None)

    guard.steer(poll, case)

    assert case.path_parameters == {"id": NOWHERE}


def test_what_the_run_made_it_may_change():
    guard = Guard()
    guard.made = {"keyId": {"key_own": ("mintApiKey", {})}}
    revoke = next(o for o in OPERATIONS if o.id == "revokeApiKey")
    case = made_up(revoke, "DELETE")
    case.path_parameters["keyId"] = "key_own"

    guard.steer(revoke, case)

    assert case.path_parameters == {"orgId": EXAMPLE["organization"], "keyId": "key_own"}


def made_up(operation: Operation, method: str) -> Any:
    """A request about the things of the examples, as Schemathesis would hand it over."""
    names = [each for each in operation.parameters if each["in"] == "path"]
    return SimpleNamespace(
        query={},
        method=method,
        path_parameters={each["name"]: each["example"] for each in names},
        body=copy.deepcopy(example_of(operation)),
    )
