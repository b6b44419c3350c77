"""What the processes log, and how often."""

import logging
import os
import sys

from gunicorn.config import Config

import logs
from supervisor.web_worker import Log


def record_of(message, *values, level=logging.WARNING, broken=False):
    failed = None
    if broken:
        try:
            raise LookupError("two\nlines")
        except LookupError:
            failed = sys.exc_info()
    return logging.LogRecord("jobs", level, __file__, 1, message, values, failed)


def test_a_line_tells_when_how_grave_who_and_what():
    line = logs.formatter("jobs", at_terminal=False).format(record_of("%s failed", "seal_audit"))

    when, rest = line.split(" ", 1)
    assert when.startswith("timestamp='20")
    assert when.endswith("Z'")
    assert rest == f"level='warning' process='jobs {os.getpid()}' event='seal_audit failed'"


def test_a_traceback_stays_in_its_line_but_at_a_terminal():
    piped, shown = (
        logs.formatter("web", at_terminal=at_terminal).format(record_of("failed", broken=True))
        for at_terminal in (False, True)
    )

    assert len(piped.splitlines()) == 1
    assert "LookupError: two" in piped
    assert shown.splitlines()[0].endswith("event='failed'")
    assert shown.splitlines()[-2:] == ["LookupError: two", "lines"]


def test_what_says_the_same_of_every_connection_is_heard_once_in_ten_seconds():
    now = [0.0]
    rarely = logs.Rarely(lambda: now[0])

    def heard(*messages):
        return [rarely.filter(record_of(each, "pool-1")) for each in messages]

    first = heard("no connection in %s", "no connection in %s", "gave up %s")
    now[0] = 9.0
    soon = heard("no connection in %s")
    now[0] = 10.0
    later = heard("no connection in %s", "no connection in %s")

    assert (first, soon, later) == ([True, False, True], [False], [True, False])


def test_gunicorn_speaks_in_the_same_form():
    (handler,) = Log(Config()).error_log.handlers

    line = handler.format(record_of("Worker (pid:7) was sent SIGKILL!", level=logging.ERROR))

    assert f"level='error' process='web {os.getpid()}' event='Worker (pid:7) was" in line
