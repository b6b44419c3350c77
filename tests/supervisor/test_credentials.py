"""Secrets are made once; what the environment gives wins without changing them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import Settings
from supervisor import credentials
from supervisor.errors import StartError
from supervisor.state_folder import StateFolder

OTHER_KEY = "rsk_live_" + "1" * 64
OTHER_MASTER = "ab" * 32


def settings(**given: str) -> Settings:
    return Settings.from_environment(given)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with StateFolder(tmp_path / "home") as opened:
        yield opened


def test_what_the_environment_gives_wins_and_the_file_stays_as_it_is(folder: StateFolder) -> None:
    made = credentials.of_embedded(folder, settings(), has_data=False)
    text = (folder.path / "credentials").read_text()

    later = credentials.of_embedded(
        folder,
        settings(RENSEI_MASTER_KEY=OTHER_MASTER, RENSEI_BOOTSTRAP_KEY=OTHER_KEY),
        has_data=True,
    )

    assert later.for_children == made.for_children | {"RENSEI_MASTER_KEY": OTHER_MASTER}
    assert later.org_keys == (*made.org_keys, OTHER_KEY)
    assert later.worker_key == made.worker_key
    assert (folder.path / "credentials").read_text() == text


def test_what_is_given_at_the_first_start_is_kept_for_later_ones(folder: StateFolder) -> None:
    given = {
        "RENSEI_MASTER_KEY": OTHER_MASTER,
        "RENSEI_SYSTEM_KEY": "a system key with 'quotes'",
        "WEBHOOK_SECRET_LINEAR": "$(odd)",
    }
    credentials.of_embedded(
        folder, settings(**given, RENSEI_BOOTSTRAP_KEY=OTHER_KEY), has_data=False
    )

    later = credentials.of_embedded(folder, settings(), has_data=True)

    assert later.for_children == given
    assert later.org_keys == (OTHER_KEY,)


def test_webhook_secrets_may_stand_in_the_file_and_the_environment_wins(
    folder: StateFolder,
) -> None:
    credentials.of_embedded(folder, settings(), has_data=False)
    with (folder.path / "credentials").open("a") as file:
        file.write("WEBHOOK_SECRET_GITHUB=of-the-file\nWEBHOOK_SECRET_VERCEL=of-the-file\n")

    later = credentials.of_embedded(
        folder, settings(WEBHOOK_SECRET_VERCEL="of-the-environment"), has_data=True
    )

    assert later.for_children["WEBHOOK_SECRET_GITHUB"] == "of-the-file"
    assert later.for_children["WEBHOOK_SECRET_VERCEL"] == "of-the-environment"
    assert "RENSEI_ORG_KEY" not in later.for_children


def test_a_secret_that_a_later_version_adds_joins_the_others(folder: StateFolder) -> None:
    made = credentials.of_embedded(folder, settings(), has_data=False)
    file = folder.path / "credentials"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if "SYSTEM" not in line))

    later = credentials.of_embedded(folder, settings(), has_data=True)

    assert later.worker_key == made.worker_key
    assert later.for_children["RENSEI_SYSTEM_KEY"].startswith("rsk_system_")
    assert "RENSEI_SYSTEM_KEY=rsk_system_" in file.read_text()


def test_a_lost_master_key_is_not_replaced_under_data_that_needs_it(folder: StateFolder) -> None:
    with pytest.raises(StartError, match="has no RENSEI_MASTER_KEY"):
        credentials.of_embedded(folder, settings(), has_data=True)


def test_previous_master_keys_may_stand_in_the_file_or_the_environment(folder: StateFolder) -> None:
    credentials.of_embedded(folder, settings(), has_data=False)
    file = folder.path / "credentials"
    file.write_text(file.read_text() + f"RENSEI_MASTER_KEY_PREVIOUS={'01' * 32}\n")

    from_file = credentials.of_embedded(folder, settings(), has_data=True)
    given = settings(RENSEI_MASTER_KEY_PREVIOUS=f"{'02' * 32}, {'03' * 32}")
    from_environment = credentials.of_embedded(folder, given, has_data=True)

    assert from_file.for_children["RENSEI_MASTER_KEY_PREVIOUS"] == "01" * 32
    assert (
        from_environment.for_children["RENSEI_MASTER_KEY_PREVIOUS"] == "02" * 32 + "," + "03" * 32
    )


def test_no_secret_shows_itself(folder: StateFolder) -> None:
    made = credentials.of_embedded(folder, settings(), has_data=False)

    assert str(made.worker_key) not in repr(made)
