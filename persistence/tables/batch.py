"""Batch jobs: work of a poll's other lanes, which never becomes a session."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from persistence.tables.ground import born, instant, metadata

batch_jobs = Table(
    "batch_jobs",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("work_type", Text, nullable=False),  # the lane
    Column("item", JSONB, nullable=False),  # what came with it
    Column("status", Text, nullable=False, server_default="waiting"),
    born(),
    # The claim: how many there were, by whom, and until when at the most.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("worker_id", Text, ForeignKey("workers.id")),
    instant("claimed_at"),
    instant("lease_ends_at"),
    instant("finished_at"),
    Column("result", JSONB),
    Column("result_hash", LargeBinary),  # tells a repeat from another result
    Column("failure_reason", Text),
    PrimaryKeyConstraint("org_id", "id"),
)
Index(
    "batch_jobs_queue_idx",
    batch_jobs.c.org_id,
    batch_jobs.c.project_id,
    batch_jobs.c.work_type,
    batch_jobs.c.created_at,
    batch_jobs.c.id,
    postgresql_where=text("status = 'waiting'"),
)
Index(
    "batch_jobs_held_idx",
    batch_jobs.c.worker_id,
    batch_jobs.c.work_type,
    postgresql_where=text("status = 'claimed'"),
)
Index("batch_jobs_page_idx", batch_jobs.c.org_id, batch_jobs.c.created_at, batch_jobs.c.id)
