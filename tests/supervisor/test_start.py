"""The first start makes everything, the later ones find it again."""

import json
import re
import stat
import subprocess
import sys

import pytest

from settings import PROJECT
from tests.supervisor.servers import Launch, eventually


def test_a_second_start_finds_the_data_and_credentials_of_the_first(launch: Launch) -> None:
    first = launch().ready()
    made = first.credentials()
    assert first.ends(15) == 0

    second = launch().ready()

    assert second.credentials() == made
    assert second.starts() == [1, 2]


def test_the_supervisor_stays_small() -> None:
    """It lives as long as the server; what migrates and serves has processes of its own."""
    loaded = "import sys, supervisor.__main__; print(*sys.modules)"
    output = subprocess.check_output([sys.executable, "-c", loaded], cwd=PROJECT, text=True)

    modules = set(output.split())
    assert "psycopg" in modules
    assert not {"alembic", "connexion", "cryptography", "sqlalchemy"} & modules


def test_credentials_are_well_formed_private_and_read_by_the_shell(launch: Launch) -> None:
    server = launch().ready()

    shapes = {
        "RENSEI_MASTER_KEY": r"[0-9a-f]{64}",
        "RENSEI_SYSTEM_KEY": r"rsk_system_[0-9a-f]{64}",
        "RENSEI_ORG_KEY": r"rsk_live_[0-9a-f]{64}",
        "RENSEI_WORKER_KEY": r"rsk_live_[0-9a-f]{64}",
        "WEBHOOK_SECRET_LINEAR": r"lin_wh_[0-9a-f]{40}",
    }
    values = server.credentials()
    assert values.keys() == shapes.keys()
    assert all(re.fullmatch(shapes[name], value) for name, value in values.items())
    for name in ("credentials", "postgres-passwords"):
        assert stat.S_IMODE((server.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(server.home.stat().st_mode) == 0o700

    line = next(text for text in server.output.splitlines() if "try it" in text)
    sourcing = line.split("try it")[1].split("&&")[0]
    shown = subprocess.check_output(["sh", "-c", f"{sourcing} && echo $RENSEI_ORG_KEY"], text=True)
    assert shown.strip() == values["RENSEI_ORG_KEY"]


@pytest.mark.usefixtures("home")
def test_each_child_learns_its_own_database_url_and_no_other(launch: Launch) -> None:
    server = launch(PGPORT="1", RENSEI_BOOTSTRAP_KEY="rsk_live_" + "1" * 64).ready()

    web = json.loads(server.get("/environment"))

    assert web["RENSEI_WEB_DATABASE_URL"].startswith("postgresql://rensei_web:")
    assert web["REDIS_URL"].startswith("unix:///")
    assert web["RENSEI_MASTER_KEY"] == server.credentials()["RENSEI_MASTER_KEY"]
    unwanted = {"DATABASE_URL", "RENSEI_JOBS_DATABASE_URL", "RENSEI_BOOTSTRAP_KEY", "PGPORT"}
    assert not unwanted & web.keys()
    assert eventually(lambda: server.notes[-1].startswith("jobs began"))
    assert server.notes[-1].endswith("['RENSEI_JOBS_DATABASE_URL']")
