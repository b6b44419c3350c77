"""What is stored sealed, whatever it is, as the owner walks through it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row
from sqlalchemy import Table

PORTION: Final = 500


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that holds something sealed."""

    table: Table
    name: str

    @property
    def key(self) -> list[str]:
        """The columns that name a row."""
        return [column.name for column in self.table.primary_key]


def walk(db: psycopg.Connection[Any], column: Column) -> Iterator[Any]:
    """Every row of a table, some at a time, in the order of its key."""
    key = sql.SQL(", ").join(map(sql.Identifier, column.key))
    places = sql.SQL(", ").join([sql.Placeholder()] * len(column.key))
    start = sql.SQL("select * from {table} {after} order by {key} limit {most}")
    after = sql.SQL("where ({key}) > ({places})").format(key=key, places=places)
    values: list[Any] = []
    with db.cursor(row_factory=namedtuple_row) as cursor:
        while True:
            query = start.format(
                table=sql.Identifier(column.table.name),
                after=after if values else sql.SQL(""),
                key=key,
                most=PORTION,
            )
            rows = cursor.execute(query, values).fetchall()
            yield from rows
            if len(rows) < PORTION:
                return
            values = [getattr(rows[-1], name) for name in column.key]


def replace(db: psycopg.Connection[Any], column: Column, row: Any, sealed: bytes) -> bool:
    """Put another ciphertext in the place of the one that was read; False when that has gone."""
    conditions = [sql.SQL("{} = %s").format(sql.Identifier(n)) for n in (*column.key, column.name)]
    done = db.execute(
        sql.SQL("update {table} set {name} = %s where {row}").format(
            table=sql.Identifier(column.table.name),
            name=sql.Identifier(column.name),
            row=sql.SQL(" and ").join(conditions),
        ),
        [sealed, *(getattr(row, name) for name in (*column.key, column.name))],
    )
    return done.rowcount == 1
