"""`make demo`: the fleet finishes what the webhooks bring, whoever is killed."""

import os
import pty
import re
import subprocess
import sys
import time

import pytest

from bench.servers import Server, clean_environment
from settings import PROJECT


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server as `make run` starts it, with leases that end soon."""
    with Server(
        tmp_path_factory.mktemp("demo"),
        WEBHOOK_SECRET_LINEAR="",
        RENSEI_LEASE_SECONDS="3",
        RENSEI_HEARTBEAT_SECONDS="0.5",
        RENSEI_POLL_SECONDS="0.5",
    ) as started:
        yield started


def demo(server, *arguments, **more):
    environment = {**clean_environment(), "RENSEI_HOME": str(server.home), "TERM": "xterm"}
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--port", str(server.port), *arguments],
        cwd=PROJECT,
        env=environment,
        **more,
    )


def test_every_session_is_completed_though_workers_are_killed(server):
    running = demo(
        server,
        *("--workers", "3", "--sessions", "12", "--every", "0.05", "--step", "0.3"),
        *("--kill-every", "1", "--kills", "2"),
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = running.communicate(timeout=120)

    assert running.returncode == 0, output
    assert output.endswith("12 of 12 sessions are completed.\n")
    assert output.rstrip().splitlines()[-2].endswith("killed 2  paused 0")


def test_a_person_at_the_terminal_sees_the_fleet_and_kills_a_worker(server):
    ours, theirs = pty.openpty()
    running = demo(
        server, "--workers", "2", "--step", "0.2", stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = ""

    def until(pattern):
        nonlocal seen
        deadline = time.monotonic() + 30
        while not re.search(pattern, seen):
            assert time.monotonic() < deadline, seen[-3000:]
            seen += os.read(ours, 65536).decode(errors="replace")

    until(r"DEMO-1\b")
    os.write(ours, b"k")
    until("was killed")
    os.write(ours, b"q")
    until("of [0-9]+ sessions are completed")

    assert running.wait(timeout=10) == 0
    os.close(ours)


def test_without_a_server_it_says_what_to_do(tmp_path):
    environment = {**clean_environment(), "RENSEI_HOME": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert said.returncode == 1
    assert said.stderr == f"There is no {tmp_path}/credentials. Start the server first: make run\n"
