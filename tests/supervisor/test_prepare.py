"""The database that migrations wait for."""

import psycopg
import pytest

from supervisor.prepare import is_coming, when_there


def test_a_database_that_is_not_there_yet_is_waited_for(capsys):
    answers = [psycopg.OperationalError("connection refused")] * 2

    def step() -> None:
        if answers:
            raise answers.pop()

    when_there(step)

    assert capsys.readouterr().out.count("Waiting for the database") == 1


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
