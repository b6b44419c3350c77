"""A credential's ciphertext belongs to its row and to no other."""

from types import SimpleNamespace

import pytest

from auth.credentials import context, row_data_key_context, seal, unseal
from auth.sealing import MasterKey, WrongMasterKey
from settings import Secret

OLD, NEW = Secret("ab" * 32), Secret("cd" * 32)
PLACE = {"org_id": "org_a", "kind": "npm", "id": "cred_1", "project_id": None, "env_name": None}
ENV = {"NPM_TOKEN": "npm_secret", "KEY": "a\nb"}


def row(master=None, env=None, **place):
    at = PLACE | place
    made = seal(master or MasterKey(OLD), env or ENV, context(*list(at.values())))
    return SimpleNamespace(**at, sealed=made.sealed, data_key=made.data_key)


def test_what_was_sealed_opens():
    assert unseal(MasterKey(OLD), row()).env == ENV


def test_no_value_stands_in_what_is_stored():
    stored = row()

    assert b"npm_secret" not in stored.sealed + stored.data_key
    assert b"NPM_TOKEN" not in stored.sealed


@pytest.mark.parametrize(
    "other",
    [
        {"org_id": "org_b"},
        {"kind": "anthropic"},
        {"id": "cred_2"},
        {"project_id": "proj_a"},
        {"env_name": "production"},
        {"project_id": "None"},
    ],
)
def test_ciphertext_in_another_row_does_not_open(other):
    mine, theirs = row(), row(**other)
    mine.sealed, mine.data_key = theirs.sealed, theirs.data_key

    with pytest.raises(WrongMasterKey):
        unseal(MasterKey(OLD), mine)


def test_half_of_another_row_does_not_open_either():
    for part in ("sealed", "data_key"):
        mine, theirs = row(), row(env={"A": "1"})
        setattr(mine, part, getattr(theirs, part))

        with pytest.raises(WrongMasterKey):
            unseal(MasterKey(OLD), mine)


@pytest.mark.parametrize("damage", [b"", b"short", bytes(60)])
def test_what_is_no_ciphertext_does_not_open(damage):
    for part in ("sealed", "data_key"):
        mine = row()
        setattr(mine, part, damage)

        with pytest.raises(WrongMasterKey):
            unseal(MasterKey(OLD), mine)


def test_a_change_of_the_master_key_touches_the_data_key_alone():
    stored, master = row(), MasterKey(NEW, [OLD])

    assert unseal(master, stored).env == ENV
    fresh = master.rewrap(stored.data_key, row_data_key_context(stored))
    assert fresh is not None
    stored.data_key = fresh
    assert unseal(MasterKey(NEW), stored).env == ENV
    with pytest.raises(WrongMasterKey):
        unseal(MasterKey(OLD), stored)
