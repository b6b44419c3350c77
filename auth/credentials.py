"""Credentials of an organization, sealed so that no row can stand for another."""

from collections.abc import Mapping
from typing import Any

import orjson

from auth.sealing import Envelope, MasterKey, data_key_context
from domain.credentials import Credential


def context(
    org_id: str, kind: str, credential_id: str, project_id: str | None, env_name: str | None
) -> str:
    """What a credential is sealed with: a row that is copied or changed does not open."""
    place = orjson.dumps([org_id, kind, credential_id, project_id, env_name]).decode()
    return f"credential {place}"


def row_context(row: Any) -> str:
    """The same, of a stored row."""
    return context(row.org_id, row.kind, row.id, row.project_id, row.env_name)


def row_data_key_context(row: Any) -> str:
    """What a stored row's data key is sealed with."""
    return data_key_context(row_context(row))


def seal(master: MasterKey, env: Mapping[str, str], context_of_it: str) -> Envelope:
    """Encrypt the variables of a credential."""
    return master.enclose(orjson.dumps(dict(env)), context_of_it)


def unseal(master: MasterKey, row: Any) -> Credential:
    """A stored credential with its values; raises `WrongMasterKey`."""
    plain = master.disclose(Envelope(bytes(row.data_key), bytes(row.sealed)), row_context(row))
    return Credential(row.kind, row.project_id, row.env_name, orjson.loads(plain))
