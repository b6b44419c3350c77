"""Counts of sessions by day."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Identity,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from persistence.tables.ground import metadata

# How many sessions were last changed on a day, how many completed on it, and what they cost. A
# session counts on one day at a time; the day `-infinity` holds the sums over all days.
session_counts = Table(
    "session_counts",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("cost_usd", Numeric, nullable=False),
    PrimaryKeyConstraint("org_id", "day", "project_id"),
)

# What a trigger on `sessions` notes and a job adds to `session_counts`. Notes are only ever
# inserted, so that no two writers wait for each other; a reader adds both tables.
session_count_changes = Table(
    "session_count_changes",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("day", Date, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("cost_usd", Numeric, nullable=False),
    PrimaryKeyConstraint("org_id", "id"),
)
