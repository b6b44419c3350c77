"""The database that migrations wait for."""

from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from supervisor.prepare import is_coming, main, when_there


def test_a_database_that_is_not_there_yet_is_waited_for(capsys):
    refused = 'server at "db.internal", port 5432 failed: Connection refused'
    starting = "FATAL:  the database system is starting up"
    answers = [
        psycopg.OperationalError(starting),
        psycopg.OperationalError(f"{refused}\n\tIs the server running on that host?"),
        psycopg.OperationalError(f"{refused}\n\tIs the server running on that host?"),
    ]

    def step() -> None:
        if answers:
            raise answers.pop()

    when_there(step)

    assert capsys.readouterr().out.splitlines() == [
        f"Waiting for the database of DATABASE_URL: {refused}",
        f"Waiting for the database of DATABASE_URL: {starting}",
    ]


def test_a_password_that_is_wrong_is_told_in_one_line(stores, monkeypatch):
    parts = urlsplit(stores.owner_url)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:wrong@"))
    monkeypatch.setenv("DATABASE_URL", wrong)

    with pytest.raises(SystemExit) as ended:
        main()

    assert "password authentication failed" in ended.value.code
    assert ended.value.code.endswith("Correct DATABASE_URL.")
    assert "wrong" not in ended.value.code


@pytest.mark.parametrize(
    ("text", "coming"),
    [
        ("connection to server failed: Connection refused", True),
        ('connection failed: FATAL:  password authentication failed for user "me"', False),
        ('connection failed: FATAL:  database "rensei" does not exist', False),
        ("connection failed: FATAL:  the database system is starting up", True),
        ("connection failed: FATAL:  the database system is not yet accepting connections", True),
    ],
)
def test_an_answer_is_not_waited_for(text, coming):
    assert is_coming(psycopg.OperationalError(text)) is coming
