"""What ends by itself is started again."""

import re
import signal
from pathlib import Path

import pytest

from tests.supervisor.servers import READY, Launch, Server, eventually

pytestmark = pytest.mark.usefixtures("home")


def dies_and_returns(server: Server, *words: str) -> int:
    """Kill the process with these words in its command; the new one's pid."""
    victim = server.one(*words)
    victim.kill()
    victim.wait(15)
    assert eventually(server.healthy)
    assert eventually(lambda: server.having(*words))
    return int(server.one(*words).pid)


def test_kill_9_of_either_store_is_followed_by_a_new_one_with_the_data(launch: Launch) -> None:
    server = launch().ready()
    before = {server.one("bin/postgres").pid, server.one("valkey-server").pid}

    after = {
        dies_and_returns(server, "bin/postgres"),
        dies_and_returns(server, "valkey-server"),
    }

    assert not before & after
    ended = r"^20[\d-]{8}T[\d:]{8}Z PostgreSQL ended \(killed by SIGKILL\); starting it again"
    assert re.search(ended, server.output, re.MULTILINE)
    assert eventually(lambda: "Valkey runs again." in server.output)
    assert server.ends(signal.SIGTERM) == 0
    assert server.notes[-2:] == ["web left both", "jobs left both"]


def test_a_dead_web_or_job_process_is_started_again(launch: Launch) -> None:
    server = launch().ready()
    assert eventually(lambda: server.notes[-1].startswith("jobs began"))

    dies_and_returns(server, "gunicorn")
    server.one("stand_ins.jobs").kill()

    def begun() -> int:
        return sum(note.startswith("jobs began") for note in server.notes)

    assert eventually(lambda: begun() == 2)
    assert server.healthy()


def test_a_web_that_keeps_ending_ends_the_server_with_the_reason(
    launch: Launch, tmp_path: Path
) -> None:
    server = launch(WEB_FAILS_WHEN=str(tmp_path / "crooked")).ready()
    (tmp_path / "crooked").touch()
    server.one("gunicorn").kill()

    code = server.process.wait(30)

    assert code == 1
    assert "The web ended 5 times in a row (exit code 3)" in server.output
    assert "the contract is crooked" in server.output
    assert server.processes() == []
    assert server.output.count(READY) == 1
