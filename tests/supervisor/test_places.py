"""Wherever the state folder lies, and whoever starts the server."""

import json
import os
import signal
from pathlib import Path

import psycopg
import pytest

from settings import Settings
from supervisor import credentials
from supervisor.state_folder import StateFolder
from supervisor.stores import Stores
from tests.supervisor.servers import Launch, eventually


def test_two_copies_live_side_by_side(launch: Launch, tmp_path: Path) -> None:
    one = launch(folder=tmp_path / "the first öne")
    two = launch(folder=tmp_path / "two")

    assert one.ready().healthy()
    assert two.ready().healthy()

    assert one.credentials() != two.credentials()
    assert one.ends(signal.SIGTERM) == 0
    assert two.healthy()


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 20) / ("a name with spaces äöü " * 3).strip()

    with Stores(home) as stores:
        with psycopg.connect(stores.web_url) as db:
            db.execute("select 1")
        short = Path((home / "scratch").read_text())
        assert stores.valkey.socket.parent == short
        assert short.stat().st_mode & 0o777 == 0o700

    assert not short.exists()
    assert not (home / "scratch").exists()


def test_what_a_crash_left_outside_the_folder_goes_at_the_next_start(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "home") as folder:
        left = folder.scratch([tmp_path])
        record = (folder.path / "scratch").read_text()
    left.mkdir()
    (tmp_path / "home" / "scratch").write_text(f"{record}\n{tmp_path}")

    with StateFolder(tmp_path / "home"):
        assert not left.exists()
        assert tmp_path.exists()


def test_below_a_folder_closed_to_others_it_starts_as_root_or_not(
    launch: Launch, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    server = launch(folder=closed).ready()

    uid = server.one("bin/postgres").uids().real
    assert uid != 0
    assert server.one("valkey-server").uids().real == uid
    assert (server.home / "postgres").stat().st_uid == uid
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == os.geteuid()


def test_a_normal_user_needs_no_privilege(
    as_normal_user: tuple[Path, list[str]], launch: Launch
) -> None:
    folder, prefix = as_normal_user

    server = launch(folder=folder, prefix=prefix).ready()

    assert server.healthy()
    owners = {process.uids().real for process in server.processes()}
    assert owners == {folder.stat().st_uid}
    assert owners != {0}
    assert server.ends(signal.SIGTERM) == 0
    assert server.processes() == []


def test_root_in_a_users_folder_leaves_it_usable_to_that_user(
    as_normal_user: tuple[Path, list[str]], launch: Launch
) -> None:
    folder, prefix = as_normal_user
    home = folder / "home"
    home.mkdir()
    os.chown(home, folder.stat().st_uid, folder.stat().st_gid)
    with StateFolder(home) as opened:
        made = credentials.of_embedded(opened, Settings(), has_data=False)
    with Stores(home):
        pass

    by_user = launch(folder=folder, prefix=prefix).ready()

    assert (made.worker_key or "lost") in by_user.credentials().values()
    assert by_user.healthy()


def test_stores_of_ones_own_are_used_and_nothing_is_made(
    launch: Launch, home: Path, tmp_path: Path
) -> None:
    with Stores(home, durable=False) as stores:
        server = launch(
            DATABASE_URL=stores.owner_url,
            REDIS_URL=stores.redis_url,
            RENSEI_MASTER_KEY="ab" * 32,
            RENSEI_HOME=str(tmp_path / "unused"),
            REDIS_AWAY="yes",
            RENSEI_PROT="9090",
        ).ready()

        assert server.healthy()
        assert eventually(lambda: "does not answer. The server is slower" in server.output)
        assert "RENSEI_PROT is no setting and changes nothing; did you mean" in server.output
        web = json.loads(server.get("/environment"))
        with psycopg.connect(web["RENSEI_WEB_DATABASE_URL"]) as db:
            assert db.execute("select current_user").fetchone() == ("rensei_web",)
        assert "DATABASE_URL" not in web
        assert any(note.endswith("with None") for note in server.notes)
        assert not (tmp_path / "unused").exists()
        assert server.ends(signal.SIGTERM) == 0
        assert stores.postgres.alive
        assert stores.valkey.alive


def test_a_locale_that_the_machine_lacks_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "tlh_QO.UTF-8")
    monkeypatch.setenv("RENSEI_MASTER_KEY", "seen by no store")

    with Stores(tmp_path / "home", durable=False) as stores:
        process = stores.postgres.process
        assert process is not None
        if Path("/proc/self").exists():
            assert b"seen by" not in Path(f"/proc/{process.pid}/environ").read_bytes()
