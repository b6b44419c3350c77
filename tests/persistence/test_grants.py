"""Each role can do what the table of grants says, and nothing else."""

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from persistence.migrations.grants import GRANTS, JOBS, WEB
from persistence.tables import metadata
from tests import chains

TABLE_RIGHTS = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
TABLES = (*sorted(metadata.tables), "alembic_version")


@pytest.fixture(scope="module")
def login(stores):
    """A connection as the process of each role makes it."""
    connections = {
        WEB: psycopg.connect(stores.web_url, autocommit=True),
        JOBS: psycopg.connect(stores.jobs_url, autocommit=True),
    }
    yield connections.__getitem__
    for connection in connections.values():
        connection.close()


@pytest.mark.parametrize("role", GRANTS)
def test_the_table_names_only_tables_that_are(role):
    assert set(GRANTS[role]) <= set(metadata.tables)


@pytest.mark.parametrize("role", GRANTS)
def test_each_role_has_the_rights_of_the_table_and_no_other(login, role):
    db = login(role)

    found = {
        (table, right)
        for table in TABLES
        for right in TABLE_RIGHTS
        if db.execute("select has_table_privilege(%s, %s)", [table, right]).fetchone()[0]
    }

    granted = {
        (table, right) for table, rights in GRANTS[role].items() for right in rights.split(", ")
    }
    assert found == granted


@pytest.mark.parametrize("role", GRANTS)
def test_no_right_reaches_single_columns_instead(login, role):
    db = login(role)

    found = {
        (table, right)
        for table in TABLES
        for right in ("select", "insert", "update", "references")
        if db.execute("select has_any_column_privilege(%s, %s)", [table, right]).fetchone()[0]
    }

    granted = {
        (table, right)
        for table, rights in GRANTS[role].items()
        for right in rights.split(", ")
        if right != "delete"
    }
    assert found == granted


@pytest.mark.parametrize("role", GRANTS)
@pytest.mark.parametrize(
    "statement",
    [
        "create table mine (id int)",
        "create schema mine",
        "alter table sessions add column mine int",
        "drop table completions",
        "create index on sessions (id)",
        "truncate audit_pending",
        "truncate audit_events",
        "select * from audit_events for update",
        "select * from audit_months.other",
        "insert into audit_months.other select * from audit_events",
        "create table audit_months.mine (id int)",
        "drop policy audit_events_web on audit_events",
        "alter table audit_events no force row level security",
        "alter table audit_events disable row level security",
        "alter function audit_lag_seconds() owner to {role}",
        "select * from audit_pending for update",
        "create role mine",
        "alter role {role} superuser",
        "select * from pg_authid",
        "select pg_read_file('/etc/passwd')",
        "copy sessions to program 'true'",
        "create extension file_fdw",
    ],
)
def test_no_role_changes_the_schema_or_leaves_the_database(login, role, statement):
    with pytest.raises(InsufficientPrivilege):
        login(role).execute(statement.format(role=role))


@pytest.mark.parametrize("role", GRANTS)
def test_no_role_puts_on_another(stores, login, role):
    db = login(role)
    other = ({WEB, JOBS} - {role}).pop()

    for wanted in (other, "postgres", db.execute("select tableowner from pg_tables").fetchone()[0]):
        with pytest.raises(psycopg.Error):
            db.execute(f'set role "{wanted}"')


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (WEB, "select * from audit_pending"),
        (WEB, "delete from audit_pending"),
        (WEB, "update audit_pending set event_type='x'"),
        (WEB, "insert into audit_pending (event_type, actor_type) values ('x','x') returning id"),
        (WEB, "delete from webhook_events"),
        (WEB, "update webhook_deliveries set event_id='x'"),
        (WEB, "delete from webhook_deliveries"),
        (WEB, "delete from sessions"),
        (WEB, "delete from api_keys"),
        (WEB, "insert into audit_events select * from audit_events"),
        (WEB, "update audit_events set payload='{}'"),
        (WEB, "delete from audit_events"),
        (WEB, "insert into audit_chains (workspace_id) values ('x')"),
        (WEB, "update audit_chains set size=0"),
        (WEB, "delete from audit_chains"),
        (WEB, "insert into audit_nodes (workspace_id) values ('x')"),
        (WEB, "insert into audit_checkpoints (workspace_id) values ('x')"),
        (WEB, "delete from audit_checkpoints"),
        (WEB, "select * from audit_key_secrets"),
        (WEB, "delete from audit_keys"),
        (WEB, "select audit_make_months(1)"),
        (JOBS, "update audit_events set payload='{}'"),
        (JOBS, "delete from audit_events"),
        (JOBS, "delete from audit_chains"),
        (JOBS, "update audit_nodes set hash=''"),
        (JOBS, "delete from audit_nodes"),
        (JOBS, "delete from audit_checkpoints"),
        (JOBS, "update audit_keys set revoked_at=now()"),
        (JOBS, "update audit_key_secrets set secret_encrypted=''"),
        (JOBS, "delete from audit_subjects"),
        (JOBS, "select * from api_keys"),
        (JOBS, "select * from m2m_clients"),
        (JOBS, "select * from browser_sessions"),
        (JOBS, "select * from signing_keys"),
        (JOBS, "update org_webhook_secrets set provider='x'"),
        (JOBS, "update organizations set name='x'"),
        (JOBS, "update audit_pending set event_type='x'"),
        (JOBS, "delete from sessions"),
        (JOBS, "delete from browser_sessions"),
        (JOBS, "delete from webhook_deliveries"),
        (WEB, "select prune_browser_sessions(1)"),
    ],
)
def test_what_a_role_has_no_business_with_is_refused(login, role, statement):
    with pytest.raises(InsufficientPrivilege):
        login(role).execute(statement)


def test_the_web_adds_to_what_happened(login, owner):
    added = login(WEB).execute(
        "insert into audit_pending (event_type, actor_type) values ('test.added', 'system')"
    )

    assert added.rowcount == 1


@pytest.mark.parametrize("role", GRANTS)
def test_no_one_chooses_the_number_of_an_event(login, role):
    with pytest.raises(psycopg.Error, match="GENERATED ALWAYS"):
        login(role).execute(
            "insert into audit_pending (id, event_type, actor_type) values (1, 'x', 'system')"
        )


@pytest.mark.parametrize("role", GRANTS)
def test_roles_are_no_owners_and_no_superusers(login, role):
    row = (
        login(role)
        .execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
            " (select count(*) from pg_class where relowner=r.oid)"
            " from pg_roles r where rolname=session_user"
        )
        .fetchone()
    )

    assert row == (False, False, False, False, False, 0)


@pytest.fixture
async def sealed(make):
    """A chain with rows in it."""
    await chains.seal_all()
    return make.org_id


async def test_row_security_is_forced_on_the_log_and_on_no_way_around_it(owner):
    rows = await chains.fetch(
        owner,
        "select relname, relrowsecurity, relforcerowsecurity from pg_class"
        " where relname = 'audit_events'",
    )

    assert [tuple(row) for row in rows] == [("audit_events", True, True)]


async def test_the_web_sees_the_rows_of_the_workspace_it_names(login, sealed):
    db = login(WEB)
    count = "select count(*) from audit_events"

    with db.transaction():
        unnamed = db.execute(count).fetchone()[0]
        db.execute("select set_config('rensei.workspace', %s, true)", [sealed])
        named = db.execute(count).fetchone()[0]
        others = db.execute(f"{count} where workspace_id <> %s", [sealed]).fetchone()[0]

    assert (unnamed, others) == (0, 0)
    assert named > 0


async def test_the_owners_own_statements_change_no_row(owner, sealed):
    before = await chains.whole(owner, sealed)

    changed = await owner.execute("update audit_events set payload = '{}'")
    removed = await owner.execute("delete from audit_events")

    assert (changed.rowcount, removed.rowcount) == (0, 0)
    assert await chains.whole(owner, sealed) == before
    with pytest.raises(InsufficientPrivilege):
        await owner.execute("insert into audit_events select * from audit_events")


@pytest.mark.parametrize("role", GRANTS)
def test_functions_that_act_as_the_owner_are_for_one_role_each(login, role):
    db = login(role)

    may = [
        db.execute("select has_function_privilege(%s, 'execute')", [name]).fetchone()[0]
        for name in (
            "audit_make_months(integer)",
            "audit_lag_seconds()",
            "prune_browser_sessions(integer)",
        )
    ]

    assert may == {WEB: [False, True, False], JOBS: [True, True, True]}[role]
