"""Sessions: the queue, the lease and the state are columns of one row."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from persistence.tables.ground import born, instant, metadata

sessions = Table(
    "sessions",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("public_id", Text, nullable=False),
    Column("issue_id", Text, nullable=False),
    Column("issue_identifier", Text, nullable=False),
    Column("issue_title", Text),
    Column("project_name", Text),
    Column("work_type", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column(
        "work", JSONB, nullable=False, server_default="{}"
    ),  # the rest of QueuedWork, as it came
    Column("status", Text, nullable=False, server_default="pending"),
    Column("failure_reason", Text),
    # Why a pending session is not offered: `issue` while another session of its issue is at work,
    # `person` after too many nacks. Null: it is in the queue.
    Column("waits_for", Text),
    # At most one session of an issue is queued or at work; it holds the issue until it ends.
    Column("holds_issue", Boolean, nullable=False, server_default=text("false")),
    Column("nacks", Integer, nullable=False, server_default="0"),
    born(),
    born("updated_at"),
    born("queued_at"),
    instant("claimed_at"),
    instant("offered_at"),  # when a poll last handed it out; a lost answer is handed out again
    Column("confirmed", Boolean, nullable=False, server_default=text("false")),  # any call since
    instant("finished_at"),
    Column("worker_id", Text, ForeignKey("workers.id")),  # who may write; kept when it has ended
    Column("slot_worker_id", Text, ForeignKey("workers.id")),  # whose capacity it takes up
    Column("lease_epoch", Integer, nullable=False, server_default="0"),
    instant("last_call_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Set while a session that its worker lost waits in the queue.
    Column("lost_by_worker_id", Text, ForeignKey("workers.id")),
    Column("lost_status", Text),
    instant("lost_at"),
    Column("provider", Text),
    Column("provider_session_id", Text),
    Column("worktree_path", Text),
    Column("total_cost_usd", Double),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("activity_count", BigInteger, nullable=False, server_default="0"),
    Column("last_tool_name", Text),
    instant("last_tool_called_at"),
    Column("tool_call_count", Integer, nullable=False, server_default="0"),  # of that tool in a row
    Column("external_urls", JSONB, nullable=False, server_default="[]"),
    Column("correlation_id", Text),
    # The session whose agent submitted this one, and how long the chain of such is.
    Column("submitted_by", Text),
    Column("submission_depth", Integer, nullable=False, server_default="0"),
    # Of the packet that rides to the next worker, until a worker brings the session to an end.
    Column("recovery_packet_id", Text),
    instant("activities_pruned_at"),  # what was done until then is not kept any more
    PrimaryKeyConstraint("org_id", "id"),
    UniqueConstraint("org_id", "public_id"),
)
Index(
    "sessions_queue_idx",
    sessions.c.org_id,
    sessions.c.project_id,
    sessions.c.priority,
    sessions.c.queued_at,
    postgresql_where=(sessions.c.status == text("'pending'")) & sessions.c.waits_for.is_(None),
)
Index(
    "sessions_issue_holder_idx",
    sessions.c.org_id,
    sessions.c.project_id,
    sessions.c.issue_id,
    unique=True,
    postgresql_where=sessions.c.holds_issue,
)
Index(
    "sessions_parked_idx",
    sessions.c.org_id,
    sessions.c.project_id,
    sessions.c.issue_id,
    sessions.c.priority,
    sessions.c.queued_at,
    postgresql_where=sessions.c.waits_for == text("'issue'"),
)
Index("sessions_issue_idx", sessions.c.org_id, sessions.c.project_id, sessions.c.issue_id)
Index(
    "sessions_slots_idx",
    sessions.c.slot_worker_id,
    postgresql_where=sessions.c.slot_worker_id.is_not(None),
)
Index(
    "sessions_lost_idx",
    sessions.c.lost_by_worker_id,
    postgresql_where=sessions.c.lost_by_worker_id.is_not(None),
)
Index(
    "sessions_working_idx",
    sessions.c.org_id,
    sessions.c.project_id,
    postgresql_where=text("status IN ('claimed', 'running')"),
)
Index(
    "sessions_finished_idx",
    sessions.c.org_id,
    sessions.c.finished_at,
    postgresql_where=sessions.c.finished_at.is_not(None),
)
# Sessions that ended and still have the activities that are pruned in their time.
Index(
    "sessions_activities_idx",
    sessions.c.finished_at,
    postgresql_where=text(
        "finished_at IS NOT NULL"
        " AND (activities_pruned_at IS NULL OR activities_pruned_at < finished_at)"
    ),
)
Index(
    "sessions_person_idx",
    sessions.c.org_id,
    sessions.c.queued_at,
    postgresql_where=sessions.c.waits_for == text("'person'"),
)
Index(
    "sessions_finalizing_idx",
    sessions.c.org_id,
    sessions.c.claimed_at,
    postgresql_where=sessions.c.status == text("'finalizing'"),
)
Index("sessions_page_idx", sessions.c.org_id, sessions.c.queued_at, sessions.c.public_id)
Index(
    "sessions_project_page_idx",
    sessions.c.org_id,
    sessions.c.project_id,
    sessions.c.queued_at,
    sessions.c.public_id,
)
Index(
    "sessions_submitted_idx",
    sessions.c.org_id,
    sessions.c.submitted_by,
    postgresql_where=sessions.c.submitted_by.is_not(None),
)
# By what an event of a provider's finds the sessions that it belongs to.
Index(
    "sessions_identifier_idx", sessions.c.org_id, sessions.c.project_id, sessions.c.issue_identifier
)
Index(
    "sessions_urls_idx",
    sessions.c.external_urls,
    postgresql_using="gin",
    postgresql_ops={"external_urls": "jsonb_path_ops"},
    postgresql_where=text("external_urls <> '[]'"),
)

session_nacks = Table(
    "session_nacks",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("worker_id", Text, nullable=False),
    born("nacked_at"),
    PrimaryKeyConstraint("org_id", "session_id", "worker_id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index("session_nacks_age_idx", session_nacks.c.nacked_at)
