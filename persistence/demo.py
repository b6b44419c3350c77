"""The rows of the embedded store's demo: an organization, a project, a workspace and two keys."""

import psycopg

from domain.ids import SHOWN_CHARACTERS, fingerprint
from domain.principal import WORKER_SCOPES

ORG = "org_demo"
PROJECT = "proj_demo"
WORKSPACE = "lin_demo"


def seed(owner_url: str, org_keys: list[str], worker_key: str) -> None:
    """Make what is missing; what is there, a revoked key included, stays as it is."""
    with psycopg.connect(owner_url) as db:
        db.execute(
            "insert into organizations (id, name, slug) values (%s, 'Demo', 'demo')"
            " on conflict do nothing",
            (ORG,),
        )
        db.execute(
            "insert into projects (id, org_id, name, slug, is_default)"
            " values (%s, %s, 'Demo', 'demo', true) on conflict do nothing",
            (PROJECT, ORG),
        )
        db.execute(
            "insert into workspace_mappings"
            " (id, org_id, provider, workspace_id, project_id, shared)"
            " values ('map_demo', %s, 'linear', %s, %s, true) on conflict do nothing",
            (ORG, WORKSPACE, PROJECT),
        )
        for key in org_keys:
            _add_key(db, "Demo organization", key, ["*"], None)
        _add_key(db, "Demo worker", worker_key, list(WORKER_SCOPES), [PROJECT])


def _add_key(
    db: "psycopg.Connection[tuple[object, ...]]",
    name: str,
    key: str,
    scopes: list[str],
    project_ids: list[str] | None,
) -> None:
    key_hash = fingerprint(key)
    db.execute(
        "insert into api_keys (id, org_id, name, prefix, key_hash, scopes, project_ids)"
        " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (
            "key_" + key_hash.hex()[:16],
            ORG,
            name,
            key[:SHOWN_CHARACTERS],
            key_hash,
            scopes,
            project_ids,
        ),
    )
