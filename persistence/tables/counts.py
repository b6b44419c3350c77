"""Counts of sessions, and of the phases of issues, by day."""

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
from sqlalchemy.dialects.postgresql import JSONB

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

# What is known of the issues whose first session was made on a day. `kind` is a phase, such as
# `qa`, or how its issues are to be gone about, such as `decompose`; the latter counts issues only.
phase_counts = Table(
    "phase_counts",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("issues", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),  # sessions of the phase
    Column("finished", BigInteger, nullable=False),  # those that were begun and ended
    Column("failed", BigInteger, nullable=False),
    Column("cycle_ms", Numeric, nullable=False),  # of the finished, together
    Column("cost_usd", Numeric, nullable=False),
    PrimaryKeyConstraint("org_id", "day", "project_id", "kind"),
)

# What of `phase_counts` each issue has put there: taken out when it is counted anew.
issue_phases = Table(
    "issue_phases",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("issue_id", Text, nullable=False),
    Column("counted", JSONB, nullable=False),
    PrimaryKeyConstraint("org_id", "project_id", "issue_id"),
)

# Issues that have something new, noted by triggers on `sessions` and `completions`.
phase_changes = Table(
    "phase_changes",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("project_id", Text, nullable=False),
    Column("issue_id", Text, nullable=False),
    PrimaryKeyConstraint("org_id", "id"),
)
