"""What routing has learned, from what, and what it chose."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from persistence.tables.ground import born, metadata

# What is known of a provider at one type of a project's work; `domain/bandit.py` says what the
# first four numbers mean. They fade from `learned_at` on, which whoever reads them takes off.
routing_arms = Table(
    "routing_arms",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("work_type", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("alpha", Double, nullable=False, server_default="1"),
    Column("beta", Double, nullable=False, server_default="1"),
    Column("recent_reward", Double, nullable=False, server_default="0"),
    Column("recent_weight", Double, nullable=False, server_default="0"),
    Column("observations", BigInteger, nullable=False, server_default="0"),  # nothing fades here
    # What the observations that told their cost cost together, and how many those were.
    Column("cost_usd", Double, nullable=False, server_default="0"),
    Column("costs", BigInteger, nullable=False, server_default="0"),
    born("learned_at"),
    PrimaryKeyConstraint("org_id", "project_id", "work_type", "provider"),
)

routing_observations = Table(
    "routing_observations",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),  # tells equal instants apart
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("session_id", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("work_type", Text, nullable=False),
    Column("provider", Text, nullable=False),
    # What came of the session afterwards, such as `pull-request.merged`; empty: the worker's word.
    Column("outcome", Text, nullable=False, server_default=""),
    Column("body_hash", LargeBinary, nullable=False),
    Column("reward", Double, nullable=False),
    Column("issue_identifier", Text),
    Column("task_completed", Boolean),
    Column("pr_created", Boolean),
    Column("qa_result", Text),
    Column("total_cost_usd", Double),
    Column("wall_clock_ms", BigInteger),
    Column("confidence", Double, nullable=False),  # as it was when the provider was chosen
    Column("exploration_reason", Text),  # null: it was expected to be the best
    born("observed_at"),
    # One attempt at a session says once what it earned with a provider.
    PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", "work_type", "provider", "outcome"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "routing_observations_page_idx",
    routing_observations.c.org_id,
    routing_observations.c.observed_at,
    routing_observations.c.id,
)
Index(
    "routing_observations_project_idx",
    routing_observations.c.org_id,
    routing_observations.c.project_id,
    routing_observations.c.observed_at,
    routing_observations.c.id,
)

# The last choice of each attempt at a session, until its feedback comes.
routing_choices = Table(
    "routing_choices",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("work_type", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("expected_reward", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("exploration_reason", Text),
    born("chosen_at"),
    PrimaryKeyConstraint("org_id", "session_id", "lease_epoch"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
