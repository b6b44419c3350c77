"""A start that cannot succeed says why, and leaves nothing behind."""

import os
import socket
from pathlib import Path

import pytest

from supervisor.state_folder import StateFolder
from tests.supervisor.servers import Launch


def test_a_second_copy_on_the_same_folder_is_refused_and_names_the_first(
    launch: Launch, tmp_path: Path
) -> None:
    with StateFolder(tmp_path / "home"):
        second = launch()

        assert second.process.wait(10) == 3

    assert f"Another copy (pid {os.getpid()})" in second.output
    assert "RENSEI_HOME" in second.output
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_taken_port_is_refused_before_anything_starts(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = launch(RENSEI_PORT=str(port))

        assert server.process.wait(10) == 4

    assert f"Port {port} of 127.0.0.1 is taken" in server.output
    assert "RENSEI_PORT" in server.output
    assert not (server.home / "postgres").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("RENSEI_PORT", "eighty"),
        ("RENSEI_HOST", "192.0.2.1"),
        ("RENSEI_MASTER_KEY", "short"),
        ("RENSEI_WEB_DATABASE_URL", "postgresql://somebody@elsewhere/rensei"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(launch: Launch, setting: str, value: str) -> None:
    server = launch(**{setting: value})

    assert server.process.wait(10) == 2
    assert setting in server.output


def test_a_database_of_ones_own_needs_a_master_key_and_is_told_how(launch: Launch) -> None:
    server = launch(DATABASE_URL="postgresql://owner@/rensei", REDIS_URL="redis://localhost")

    assert server.process.wait(10) == 2
    assert "RENSEI_MASTER_KEY is required" in server.output
    assert "secrets.token_hex(32)" in server.output
    assert not server.home.exists()


def test_a_folder_of_other_things_is_not_taken_for_a_state_folder(
    launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir(mode=0o755)
    (tmp_path / "letters" / "dear.txt").touch()

    server = launch(RENSEI_HOME=str(tmp_path / "letters"))

    assert server.process.wait(10) == 1
    assert "is no state folder" in server.output
    assert (tmp_path / "letters").stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ({"PREPARE_FAILS": "yes"}, "the table is crooked"),
        ({"WEB_FAILS": "yes"}, "the contract is crooked"),
        ({"LIFESPAN_FAILS": "yes"}, "two operations share an id"),
    ],
)
def test_a_part_that_cannot_start_ends_the_server_with_its_reason(
    launch: Launch, failing: dict[str, str], reason: str
) -> None:
    server = launch(**failing)

    assert server.process.wait(30) == 1
    assert reason in server.output
    assert "the reason stands above" in server.output
    assert server.processes() == []


def test_lost_passwords_are_not_replaced_under_data_that_needs_them(
    launch: Launch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "lock").touch()
    (home / "credentials").write_text(f"RENSEI_MASTER_KEY={'0' * 64}\n")

    server = launch()

    assert server.process.wait(10) == 1
    assert "postgres-passwords is missing" in server.output
    assert server.processes() == []
