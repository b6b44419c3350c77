"""How the schema got here, and who may do what in it.

`upgrade` runs as the owner, before any process serves, and may run in several places at once: an
advisory lock lets one of them work and the others find the work done.
"""

from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from persistence import vector_types
from persistence.migrations.grants import apply_grants, make_roles

LOCK: Final = 4_027_115_206


def upgrade(owner_url: str, *, vectors: bool = False) -> None:
    """Bring the database to the newest schema and roles; safe with several starting at once.

    `vectors` also sees to pgvector's types, which nothing needs while no embedder is switched on.
    `owner_url` is a libpq URL. Raises `psycopg.Error` when the owner may not do what it takes, and
    `UnknownSchema` when a later version has worked on the database.
    """
    with psycopg.connect(owner_url, autocommit=True) as lock:
        lock.execute("select pg_advisory_lock(%s)", (LOCK,))
        make_roles(lock)  # some migrations name them
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(owner_url),
            poolclass=pool.NullPool,
        )
        with engine.begin() as connection:
            configuration = Config()
            configuration.set_main_option("script_location", str(Path(__file__).parent))
            configuration.attributes["connection"] = connection
            _refuse_unknown(connection, ScriptDirectory.from_config(configuration))
            command.upgrade(configuration, "head")
        if vectors:
            vector_types.make(lock)
        apply_grants(lock)


class UnknownSchema(Exception):
    """The database holds a schema that this version does not know, so a later one's."""


def _refuse_unknown(connection: Connection, known: ScriptDirectory) -> None:
    held = MigrationContext.configure(connection).get_current_heads()
    if unknown := set(held) - {each.revision for each in known.walk_revisions()}:
        raise UnknownSchema(
            f"The database holds schema {', '.join(sorted(unknown))}; this version of the server "
            f"knows up to {known.get_current_head()}. Start the version that has last run on it, "
            "or restore the backup from before that one."
        )
