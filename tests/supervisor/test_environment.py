"""URLs, as each child gets them."""

from dataclasses import replace
from pathlib import Path

import psycopg

from settings import Settings
from supervisor.credentials import Credentials
from supervisor.environment import CHECKPOINTS, Environments, Urls, external_urls, in_role


def test_the_owners_url_puts_on_a_role_and_keeps_its_other_options() -> None:
    url = in_role("postgresql://o:p%40ss@db:5433/rensei?sslmode=require&options=-c%20jit=off", "r")

    read = psycopg.conninfo.conninfo_to_dict(url)

    assert read == {
        "user": "o",
        "password": "p@ss",
        "host": "db",
        "port": "5433",
        "dbname": "rensei",
        "sslmode": "require",
        "options": "-c jit=off -c role=r",
    }


def test_logins_of_their_own_are_handed_on_as_they_are() -> None:
    settings = Settings(
        database_url="postgresql://owner@db/rensei",
        web_database_url="postgresql://web@db/rensei",
    )

    urls = external_urls(settings, "redis://cache")

    assert urls.owner == "postgresql://owner@db/rensei"
    assert urls.web == "postgresql://web@db/rensei"
    assert urls.jobs == "postgresql://owner@db/rensei?options=-c%20role%3Drensei_jobs"
    assert urls.redis == "redis://cache"


def test_checkpoints_go_into_the_state_folder_from_the_first_start() -> None:
    urls = Urls("owner", "web", "jobs", "redis")
    settings = Settings(home=Path("/srv/rensei"))

    made = Environments(settings, Credentials({}), urls, embedded=True)
    elsewhere = Environments(
        replace(settings, audit_checkpoint_file=Path("/mnt/kept")),
        Credentials({}),
        urls,
        embedded=False,
    )

    assert made.of_jobs()[CHECKPOINTS] == "/srv/rensei/audit/checkpoints"
    assert elsewhere.of_jobs()[CHECKPOINTS] == "/mnt/kept"
