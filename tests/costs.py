"""What a statement costs PostgreSQL: its plan, the pages it touches, and how often one is sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from persistence import database

Plan = list[dict[str, Any]]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


async def explained(owner: Any, statement: str, values: Any) -> tuple[Plan, int]:
    """The nodes of a statement's plan, and the pages it touched."""
    cursor = await owner.execute("explain (analyze, buffers, format json) " + statement, values)
    (row,) = await cursor.fetchall()
    plan = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    whole = plan[0]["Plan"]
    return list(_nodes(whole)), whole["Shared Hit Blocks"] + whole["Shared Read Blocks"]


def scanned(plan: Plan) -> set[str]:
    """The tables that a plan reads from one end to the other."""
    return {
        node["Relation Name"]
        for node in plan
        if node["Node Type"] == "Seq Scan" and "Relation Name" in node
    }


@contextmanager
def sent() -> Iterator[list[tuple[str, Any]]]:
    """The statements that the application's engine sends meanwhile, with their values."""
    engine = database.current().engine.sync_engine
    said: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, values: Any, *more: Any) -> None:
        said.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def completed_sessions(make: Any, count: int, activities: int = 0) -> None:
    """Many sessions that ended, `done-1` and so on, with some activities each."""
    await make.owner.execute(
        "insert into sessions (org_id, id, project_id, public_id, issue_id, issue_identifier,"
        " work_type, priority, status, total_cost_usd, finished_at, activity_count)"
        " select %(org)s, 'done-' || n, %(project)s, lpad(to_hex(n), 16, '0'), 'i' || n, 'I-' || n,"
        " 'qa', 3, 'completed', 0.01, now(), 10 from generate_series(1, %(count)s) n",
        {"org": make.org_id, "project": make.project_id, "count": count},
    )
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity)"
        ' select %(org)s, \'done-\' || n, a, \'thought\', \'{"type":"thought","content":"x"}\''
        " from generate_series(1, %(count)s) n, generate_series(1, %(each)s) a",
        {"org": make.org_id, "count": count, "each": activities},
    )


async def forget_completed(make: Any) -> None:
    """Remove them again."""
    await make.owner.execute(
        "delete from activities where org_id = %s and session_id like 'done-%%'", (make.org_id,)
    )
    await make.owner.execute(
        "delete from sessions where org_id = %s and id like 'done-%%'", (make.org_id,)
    )


async def vacuum(make: Any, *tables: str) -> None:
    for table in tables:
        await make.owner.execute(f"vacuum analyze {table}")
