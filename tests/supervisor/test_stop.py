"""Nothing outlives the server, and nothing stops before what needs it."""

import signal
import threading
import time
from contextlib import suppress

import psutil
import pytest

from tests.supervisor.servers import Launch, eventually


@pytest.mark.usefixtures("home")
def test_sigterm_answers_what_is_in_flight_then_stops_web_jobs_and_stores(launch: Launch) -> None:
    server = launch().ready()
    assert eventually(lambda: server.notes[-1].startswith("jobs began"))
    answers: list[str] = []
    caller = threading.Thread(target=lambda: answers.append(server.get("/slow")))
    caller.start()
    time.sleep(0.3)

    code = server.ends(signal.SIGTERM)
    caller.join()

    assert code == 0
    assert answers == ["{}"]
    assert server.notes[-2:] == ["web left both", "jobs left both"]
    assert server.processes() == []
    assert not (server.home / "postgres" / "data" / "postmaster.pid").exists()


@pytest.mark.usefixtures("home")
def test_a_second_ctrl_c_hurries(launch: Launch) -> None:
    server = launch(JOBS_STUBBORN="yes").ready()
    begun = time.monotonic()

    code = server.ends(signal.SIGINT, signal.SIGINT)

    assert code == 0
    assert time.monotonic() - begun < 5
    assert server.processes() == []


def test_ctrl_c_while_it_starts_leaves_no_process_and_no_half_of_a_database(
    launch: Launch,
) -> None:
    early = launch()
    assert eventually((early.home / "postgres" / "data.new").exists)
    assert early.ends(signal.SIGINT) == 0
    assert early.processes() == []

    launch().ready()


@pytest.mark.usefixtures("home")
def test_kill_9_of_the_supervisor_leaves_no_process(launch: Launch) -> None:
    server = launch(JOBS_STUBBORN="yes").ready()

    server.ends(signal.SIGKILL)

    assert eventually(lambda: not server.processes())


@pytest.mark.usefixtures("home")
def test_a_start_right_after_kill_9_finds_everything(launch: Launch) -> None:
    server = launch().ready()
    server.process.kill()
    server.process.wait()

    again = launch(RENSEI_PORT=str(server.port)).ready()

    assert again.healthy()
    before, after = again.starts()
    assert after == before + 1


@pytest.mark.usefixtures("home")
def test_kill_9_of_everything_at_once_does_not_block_the_next_start(launch: Launch) -> None:
    server = launch().ready()

    everything = server.processes()
    server.process.kill()
    for process in everything:
        # The death of one may already have ended another.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert eventually(lambda: not server.processes())

    launch().ready()
