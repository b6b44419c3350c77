"""The schema: as the tables say, however often and from however many places it is made."""

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine, pool

from persistence import migrations
from persistence.tables import metadata
from supervisor import binaries
from supervisor.postgres import OWNER, SUPERUSER


@pytest.fixture
def fresh(stores):
    """An empty database beside the others, as its owner."""
    name = "fresh"
    with psycopg.connect(stores.postgres.url(SUPERUSER), autocommit=True) as db:
        db.execute(f"create database {name} owner {OWNER}")
        parts = urlsplit(stores.owner_url)
        yield urlunsplit(parts._replace(path=f"/{name}"))
        db.execute(f"drop database {name} with (force)")


def differences(url):
    """What Alembic would change to make the database look like the tables."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=pool.NullPool
    )
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, metadata)


def shape(url):
    """All in the schema that can differ: columns, indexes, constraints, functions, rights."""
    public = "'public'::regnamespace"
    queries = {
        "information_schema.columns": "table_schema = 'public'",
        "information_schema.role_table_grants": "table_schema = 'public'",
        "pg_indexes": "schemaname = 'public'",
        "(select conname, pg_get_constraintdef(oid), connamespace as n from pg_constraint) c": (
            f"n = {public}"
        ),
        "(select proname, prosrc, pronamespace as n from pg_proc) p": f"n = {public}",
        "(select relname, reloptions, relnamespace as n from pg_class) r": f"n = {public}",
    }
    with psycopg.connect(url) as db:
        found = []
        for source, condition in queries.items():
            rows = db.execute(f"select * from {source} where {condition}").fetchall()
            found.append(sorted(str(row).replace(repr(db.info.dbname), "") for row in rows))
        return found


def test_the_migrations_make_the_tables(stores):
    assert differences(stores.owner_url) == []


def test_a_column_that_is_missing_or_other_would_be_seen(stores, fresh):
    migrations.upgrade(fresh)
    with psycopg.connect(fresh) as db:
        db.execute("alter table projects drop column repository")
        db.execute("alter table sessions alter column priority type text")

    found = str(differences(fresh))

    assert "repository" in found
    assert "priority" in found


def test_the_history_has_one_end():
    configuration = Config()
    folder = Path(migrations.__file__).parent
    configuration.set_main_option("script_location", str(folder))

    assert len(ScriptDirectory.from_config(configuration).get_heads()) == 1


def test_upgrading_twice_changes_nothing(fresh):
    migrations.upgrade(fresh)
    before = shape(fresh)

    migrations.upgrade(fresh)

    assert shape(fresh) == before


def test_several_that_start_at_once_make_one_schema(stores, fresh):
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(migrations.upgrade, [fresh] * 6))

    assert differences(fresh) == []
    assert shape(fresh) == shape(stores.owner_url)


async def test_an_upgrade_waits_for_nobody_who_serves(stores, make):
    running = asyncio.create_task(asyncio.to_thread(migrations.upgrade, stores.owner_url))

    answers = [await make.org.get("/api/cli/whoami") for _ in range(20)]
    await running

    assert {answer.status_code for answer in answers} == {200}


def test_a_schema_of_a_later_version_is_left_alone_and_told(fresh):
    migrations.upgrade(fresh)
    with psycopg.connect(fresh) as db:
        db.execute("update alembic_version set version_num = '9999'")
    before = shape(fresh)

    with pytest.raises(
        migrations.UnknownSchema, match=r"schema 9999; .* knows up to \d{4}\. Start"
    ):
        migrations.upgrade(fresh)

    assert shape(fresh) == before


@pytest.mark.prove
def test_a_dump_by_the_owner_goes_back_whole(stores, fresh, tmp_path):
    with psycopg.connect(stores.owner_url) as db:
        db.execute(
            "insert into organizations (id, name, slug) values ('org_kept', 'Kept', 'kept')"
            " on conflict do nothing"
        )
    programs, dump = binaries.find().postgres.parent, str(tmp_path / "rensei.dump")

    subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, stores.owner_url], check=True)
    subprocess.run([programs / "pg_restore", "--exit-on-error", "-d", fresh, dump], check=True)

    assert shape(fresh) == shape(stores.owner_url)
    assert rows_of(fresh) == rows_of(stores.owner_url)
    migrations.upgrade(fresh)
    assert shape(fresh) == shape(stores.owner_url)


def rows_of(url):
    """How many rows each table holds, and which policies guard them."""
    with psycopg.connect(url) as db:
        counts = {
            name: db.execute(
                sql.SQL("select count(*) from {}").format(sql.Identifier(name))
            ).fetchone()
            for (name,) in db.execute(
                "select tablename from pg_tables where schemaname = 'public'"
            ).fetchall()
        }
        policies = db.execute(
            "select tablename, policyname, roles::text, cmd, qual, with_check from pg_policies"
            " order by 1, 2"
        ).fetchall()
    assert counts["organizations"] > (0,)
    assert policies
    return counts, policies
