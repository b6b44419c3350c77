"""Credentials for agents, their rotations, and which streams wait for these."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

from persistence.tables.ground import born, metadata

credentials = Table(
    "credentials",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id")),  # null: for every project
    Column("env_name", Text),  # null: for every environment
    Column("names", ARRAY(Text), nullable=False),  # of its variables
    # The values, under a key of their own; and that key, under the master key.
    Column("sealed", LargeBinary, nullable=False),
    Column("data_key", LargeBinary, nullable=False),
    born(),
    born("updated_at"),
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint(
        "org_id",
        "kind",
        "project_id",
        "env_name",
        name="credentials_place_key",
        postgresql_nulls_not_distinct=True,
    ),
)

# Whoever numbers a rotation holds this row until it commits, so that the numbers of an
# organization become visible in their order and no reader skips one.
credential_feeds = Table(
    "credential_feeds",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), primary_key=True),
    Column("last_number", BigInteger, nullable=False),
)

# The last rotation of each kind is enough: a rotation spreads the present values.
credential_rotations = Table(
    "credential_rotations",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    born("rotated_at"),
    PrimaryKeyConstraint("org_id", "kind"),
)

# How many streams a web process has open, told every few seconds; who falls silent has none.
credential_streams = Table(
    "credential_streams",
    metadata,
    Column("process_id", Text, nullable=False),
    Column("org_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("env_name", Text, nullable=False),
    Column("streams", Integer, nullable=False),
    born("seen_at"),
    PrimaryKeyConstraint("process_id", "org_id", "project_id", "env_name"),
)
