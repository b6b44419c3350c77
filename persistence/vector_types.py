"""pgvector's types, which the memory's search by meaning stands on when an embedder is set."""

from typing import Any

import psycopg


def make(db: psycopg.Connection[Any]) -> None:
    """Make the types where they are missing, which only a superuser may.

    They live in a schema of their own, so that the server's stays as it is.
    """
    db.execute("create schema if not exists vectors")
    db.execute("grant usage on schema vectors to public")
    db.execute("create extension if not exists vector schema vectors")
