"""A contract that cannot be served stops the web with its own words."""

from types import SimpleNamespace

import pytest
from gunicorn.errors import AppImportError

import app
from contract import ContractError
from settings import SettingsError
from supervisor import gunicorn_conf
from supervisor.web_worker import Worker

CROOKED = ContractError(["getHelth (GET /api/health): has no handler; write it"])


def test_what_keeps_the_first_process_from_starting_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def prepare() -> None:
        raise CROOKED

    monkeypatch.delenv("RENSEI_LOADS_ONCE", raising=False)
    monkeypatch.setattr(app, "prepare", prepare)

    with pytest.raises(SystemExit) as ended:
        gunicorn_conf.on_starting(None)

    assert ended.value.code == str(CROOKED)


@pytest.mark.parametrize("error", [CROOKED, SettingsError("RENSEI_WEB_DATABASE_URL is missing")])
def test_what_keeps_a_later_one_from_starting_is_what_gunicorn_prints_and_no_more(
    error: Exception,
) -> None:
    def build() -> None:
        raise error

    worker = Worker.__new__(Worker)
    worker.app = SimpleNamespace(wsgi=build)

    with pytest.raises(AppImportError, match=r"getHelth|RENSEI_WEB_DATABASE_URL") as told:
        worker.load_wsgi()

    assert str(told.value) == str(error)
