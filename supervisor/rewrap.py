"""`python -m supervisor.rewrap`: brings everything that is sealed under the present master key.

As the owner, whom alone every sealed column is open to; at every start with
`RENSEI_MASTER_KEY_PREVIOUS`, before anything serves, and by hand whenever one likes.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, Final

import psycopg

from auth import audit_keys as of_audit
from auth.credentials import row_data_key_context
from auth.keyring import key_context
from auth.sealing import MasterKey, WrongMasterKey
from auth.webhook_signatures import secret_context
from persistence import sealed
from persistence.sealed import Column
from persistence.tables import (
    a2a_agents,
    a2a_push_configs,
    audit_chains,
    audit_key_secrets,
    audit_subjects,
    connections,
    credentials,
    org_webhook_secrets,
    signing_keys,
)
from services import a2a_secrets, connection_secrets
from settings import Settings, SettingsError
from supervisor.environment import DATABASE

SEALED: Final[tuple[tuple[Column, Callable[[Any], str]], ...]] = (
    (Column(signing_keys, "secret_encrypted"), lambda row: key_context(row.kid)),
    (
        Column(org_webhook_secrets, "secret_encrypted"),
        lambda row: secret_context(row.org_id, row.provider),
    ),
    (Column(credentials, "data_key"), row_data_key_context),
    (
        Column(connections, "secret_encrypted"),
        lambda row: connection_secrets.secret_context(row.org_id, row.id),
    ),
    (
        Column(audit_key_secrets, "secret_encrypted"),
        lambda row: of_audit.signing_context(row.kid),
    ),
    (
        Column(audit_chains, "subject_key"),
        lambda row: of_audit.digest_context(row.workspace_id),
    ),
    (
        Column(audit_subjects, "key_encrypted"),
        lambda row: of_audit.subject_context(row.workspace_id, row.id),
    ),
    (
        Column(a2a_agents, "token_encrypted"),
        lambda row: a2a_secrets.token_context(row.org_id, row.id),
    ),
    (
        Column(a2a_push_configs, "secret_encrypted"),
        lambda row: a2a_secrets.push_context(row.org_id, row.session_id, row.id),
    ),
)
"""Every column that is sealed under the master key, and what each row of it is sealed with.
`credentials.sealed` is not: it is sealed under its data key."""


def rewrap(owner_url: str, settings: Settings) -> int:
    """Bring over what is not under the present master key yet, and say what came of it.

    Returns how many rows no key opens. They are named and left as they are: a row that was lost
    long ago must not keep the server from starting. Without previous keys nothing is done.
    """
    if settings.master_key is None or not settings.previous_master_keys:
        return 0
    master = MasterKey(settings.master_key, settings.previous_master_keys)
    brought, lost = 0, 0
    with psycopg.connect(owner_url, autocommit=True) as db:
        for column, context in SEALED:
            for row in sealed.walk(db, column):
                if getattr(row, column.name) is None:  # nothing was given
                    continue
                try:
                    fresh = master.rewrap(bytes(getattr(row, column.name)), context(row))
                except WrongMasterKey as error:
                    print(f"Not opened: {error}", flush=True)
                    lost += 1
                    continue
                if fresh is not None:
                    brought += sealed.replace(db, column, row, fresh)
    if lost:
        print(f"{brought} secrets were brought under RENSEI_MASTER_KEY, {lost} did not open.")
    else:
        print(
            f"Everything is sealed under RENSEI_MASTER_KEY ({brought} secrets were brought over); "
            "RENSEI_MASTER_KEY_PREVIOUS can be left out at the next start."
        )
    sys.stdout.flush()
    return lost


def warn_of_wrong_key(owner_url: str, settings: Settings) -> int:
    """Say when the present master key is not the one that the database was sealed under.

    The signing keys stand for all: there are few, and one is made at the first start. Nothing is
    stopped by it, but whoever restored with another key would otherwise learn it from refusals.
    Returns how many of them do not open.
    """
    if settings.master_key is None or settings.previous_master_keys:
        return 0
    master = MasterKey(settings.master_key)
    column, context = SEALED[0]
    opened, lost = 0, 0
    with psycopg.connect(owner_url, autocommit=True) as db:
        for row in sealed.walk(db, column):
            try:
                master.open(bytes(getattr(row, column.name)), context(row))
                opened += 1
            except WrongMasterKey:
                lost += 1
    if lost:
        print(
            f"RENSEI_MASTER_KEY does not open {lost} of {opened + lost} signing keys: what was "
            "sealed under another key (secrets, credentials, tokens) does not work. Set the key "
            "that belongs to this database, or give that one as RENSEI_MASTER_KEY_PREVIOUS.",
            flush=True,
        )
    return lost


if __name__ == "__main__":
    try:
        given = Settings.from_environment()
    except SettingsError as error:
        sys.exit(f"rewrap: {error}")
    if DATABASE not in os.environ or given.master_key is None or not given.previous_master_keys:
        sys.exit(
            "rewrap: set DATABASE_URL (the owner's), RENSEI_MASTER_KEY and "
            "RENSEI_MASTER_KEY_PREVIOUS."
        )
    sys.exit(1 if rewrap(os.environ[DATABASE], given) else 0)
