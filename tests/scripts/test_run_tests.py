"""What fails in the crowd runs once more, alone; what fails alone has failed."""

import pytest

from scripts.run_tests import FEW, main

IN_THE_CROWD = """
import os
import pathlib

import pytest


@pytest.mark.parametrize("number", range({count}))
def test_alone(number):
    if {heals}:
        assert "PYTEST_XDIST_WORKER" not in os.environ
    else:
        assert False


def test_good():
    with pathlib.Path({log!r}).open("a") as log:
        log.write("x")
"""


QUICK = ("-p", "xdist", "-n", "1", "-q")


@pytest.fixture(autouse=True)
def _without_the_plugins_of_this_project(monkeypatch):
    """They take seconds to load, in each process. Nor is this a worker of the run around it."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.parametrize(
    ("count", "heals", "code", "said"),
    [
        (0, True, 0, False),
        (1, True, 0, True),
        (FEW, True, 0, True),
        (FEW + 1, True, 1, False),
        (1, False, 1, True),
    ],
)
def test_few_failures_are_judged_once_more_alone(tmp_path, capfd, count, heals, code, said):
    log = tmp_path / "log"
    file = tmp_path / "test_some.py"
    file.write_text(IN_THE_CROWD.format(count=count, heals=heals, log=str(log)))

    assert main([*QUICK, str(file)]) == code

    assert ("Once more, alone" in capfd.readouterr().out) is said
    assert log.read_text() == "x", "what has passed does not run again"


def test_a_run_that_could_not_begin_is_no_failure_of_a_test(tmp_path, capfd):
    assert main([*QUICK, str(tmp_path / "nothing.py")]) not in {0, 1}

    assert "Once more" not in capfd.readouterr().out
