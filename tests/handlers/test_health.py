"""Whether the server can serve."""

import time
import tomllib
from pathlib import Path

import pytest
from redis.asyncio import Redis

from domain.version import VERSION
from persistence import database
from persistence.ephemeral import store
from tests.spec import CONTRACT

HEALTH = "/api/health"


async def test_with_both_stores_all_is_up(anonymous):
    answer = await anonymous.get(HEALTH)

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "version": VERSION, "database": "up", "redis": "up"}


@pytest.mark.parametrize("has_redis", [True, False])
async def test_without_redis_the_server_serves_and_says_so(
    anonymous, monkeypatch, tmp_path, has_redis
):
    away = Redis.from_url(f"unix://{tmp_path}/nowhere.sock")
    monkeypatch.setattr(store, "_redis", away if has_redis else None)

    answer = await anonymous.get(HEALTH)

    assert (answer.status_code, answer.json()["redis"]) == (200, "down")
    await away.aclose()


async def test_without_postgresql_it_is_unavailable_soon_and_says_when_to_ask_again(
    anonymous, monkeypatch, tmp_path
):
    away = database.Database(f"postgresql://nobody@/nowhere?host={tmp_path}")
    await away.open()
    monkeypatch.setattr(database, "_database", away)
    began = time.monotonic()

    answer = await anonymous.get(HEALTH)

    took = time.monotonic() - began
    await away.close()
    assert answer.status_code == 503
    assert answer.json() == {"error": "The database cannot be reached; try again"}
    assert int(answer.headers["retry-after"]) > 0
    assert took < 4


async def test_the_version_is_that_of_the_project_and_the_contract():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]

    assert project["version"] == CONTRACT.spec["info"]["version"] == VERSION
