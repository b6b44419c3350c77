"""The schema, once. `migrations/` says how it got there; a test proves that both agree.

Every instant is `timestamptz` in the database's clock. A table that belongs to an organization
names it first, and no query goes without it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _instant(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _born(name: str = "created_at") -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


# --- tenants ---------------------------------------------------------------------------------

organizations = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    Column("max_attempts", Integer, nullable=False, server_default="5"),
    # Whether a session's activities are shown to who holds its link and no credential.
    Column("session_hash_links", Boolean, nullable=False, server_default=text("false")),
    _born(),
)

Index(
    "organizations_hash_links_idx",
    organizations.c.id,
    postgresql_where=organizations.c.session_hash_links,
)

org_webhook_secrets = Table(
    "org_webhook_secrets",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("secret_encrypted", LargeBinary, nullable=False),
    PrimaryKeyConstraint("org_id", "provider"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("repository", Text),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    _born(),
    UniqueConstraint("org_id", "slug"),
)
Index(
    "projects_one_default_idx",
    projects.c.org_id,
    unique=True,
    postgresql_where=projects.c.is_default,
)

workspace_mappings = Table(
    "workspace_mappings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    # A shared mapping holds under the server's own webhook secret, the others under the
    # organization's. Only a shared one keeps every other organization from the workspace.
    Column("shared", Boolean, nullable=False),
    _born(),
    UniqueConstraint("org_id", "provider", "workspace_id"),
)
Index(
    "workspace_mappings_shared_idx",
    workspace_mappings.c.provider,
    workspace_mappings.c.workspace_id,
    unique=True,
    postgresql_where=workspace_mappings.c.shared,
)

# --- credentials -----------------------------------------------------------------------------

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("project_ids", ARRAY(Text)),  # null: every project of the organization
    # The deployment-wide worker key is a row like any other, but registers without a token.
    Column("is_deployment_key", Boolean, nullable=False, server_default=text("false")),
    _born(),
    _instant("expires_at"),
    _instant("revoked_at"),
)
Index("api_keys_page_idx", api_keys.c.org_id, api_keys.c.created_at, api_keys.c.id)

m2m_clients = Table(
    "m2m_clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    _born(),
    _instant("revoked_at"),
)
Index("m2m_clients_page_idx", m2m_clients.c.org_id, m2m_clients.c.created_at, m2m_clients.c.id)

browser_sessions = Table(
    "browser_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False),
    _born(),
    _instant("expires_at", nullable=False),
    _instant("ended_at"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("secret_encrypted", LargeBinary, nullable=False),
    _born(),
    _instant("retired_at"),
)
Index(
    "signing_keys_one_active_idx",
    signing_keys.c.purpose,
    unique=True,
    postgresql_where=signing_keys.c.retired_at.is_(None),
)

# --- the fleet -------------------------------------------------------------------------------

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("registration_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("hostname", Text, nullable=False),
    Column("machine_id", Text),
    Column("version", Text),
    Column("region", Text),
    Column("capacity", Integer, nullable=False),
    Column("projects", ARRAY(Text), nullable=False, server_default="{}"),
    Column("capabilities", ARRAY(Text), nullable=False, server_default="{}"),
    Column("status", Text, nullable=False, server_default="idle"),
    Column("active_count", Integer, nullable=False, server_default="0"),
    _born("registered_at"),
    _born("last_heartbeat_at"),
    # The day of it in UTC. An index over days stays as it is when a heartbeat is stored.
    Column(
        "seen_on",
        Date,
        Computed("((last_heartbeat_at AT TIME ZONE 'utc'))::date", persisted=True),
        nullable=False,
    ),
    # When a heartbeat last counted at least as many sessions as the worker held.
    _born("covered_at"),
    # The largest count of the present lease-long window and of the one before it.
    Column("peak_count", Integer, nullable=False, server_default="0"),
    Column("peak_count_before", Integer, nullable=False, server_default="0"),
    _born("peak_since"),
    # When the last two heartbeats in a row came that counted fewer sessions than it held.
    _instant("short_at"),
    _instant("short_before_at"),
    _instant("retired_at"),  # a newer registration of the machine took over: no new work
    _instant("left_at"),  # it said good-bye
    _instant("revoked_at"),  # its key was revoked: no call is answered
)
Index(
    "workers_machine_idx",
    workers.c.registration_id,
    workers.c.machine_id,
    postgresql_where=workers.c.retired_at.is_(None),
)
Index("workers_seen_idx", workers.c.org_id, workers.c.seen_on)

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
    _born(),
    _born("updated_at"),
    _born("queued_at"),
    _instant("claimed_at"),
    _instant("offered_at"),  # when a poll last handed it out; a lost answer is handed out again
    Column("confirmed", Boolean, nullable=False, server_default=text("false")),  # any call since
    _instant("finished_at"),
    Column("worker_id", Text, ForeignKey("workers.id")),  # who may write; kept when it has ended
    Column("slot_worker_id", Text, ForeignKey("workers.id")),  # whose capacity it takes up
    Column("lease_epoch", Integer, nullable=False, server_default="0"),
    _instant("last_call_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Set while a session that its worker lost waits in the queue.
    Column("lost_by_worker_id", Text, ForeignKey("workers.id")),
    Column("lost_status", Text),
    _instant("lost_at"),
    Column("provider", Text),
    Column("provider_session_id", Text),
    Column("worktree_path", Text),
    Column("total_cost_usd", Double),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("activity_count", BigInteger, nullable=False, server_default="0"),
    Column("last_tool_name", Text),
    _instant("last_tool_called_at"),
    Column("tool_call_count", Integer, nullable=False, server_default="0"),  # of that tool in a row
    Column("external_urls", JSONB, nullable=False, server_default="[]"),
    Column("correlation_id", Text),
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
    sessions.c.issue_id,
    unique=True,
    postgresql_where=sessions.c.holds_issue,
)
Index(
    "sessions_parked_idx",
    sessions.c.org_id,
    sessions.c.issue_id,
    sessions.c.priority,
    sessions.c.queued_at,
    postgresql_where=sessions.c.waits_for == text("'issue'"),
)
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
Index("sessions_page_idx", sessions.c.org_id, sessions.c.queued_at, sessions.c.public_id)
Index(
    "sessions_project_page_idx",
    sessions.c.org_id,
    sessions.c.project_id,
    sessions.c.queued_at,
    sessions.c.public_id,
)

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

activities = Table(
    "activities",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("activity", JSONB, nullable=False),
    Column("repeat_key", LargeBinary),  # equal for a repeat of the same post
    _born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "seq"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "activities_repeat_idx",
    activities.c.org_id,
    activities.c.session_id,
    activities.c.repeat_key,
    unique=True,
    postgresql_where=activities.c.repeat_key.is_not(None),
)

completions = Table(
    "completions",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("summary", Text, nullable=False),
    Column("plan_items", JSONB),
    _born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", "body_hash"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

session_nacks = Table(
    "session_nacks",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("worker_id", Text, nullable=False),
    _born("nacked_at"),
    PrimaryKeyConstraint("org_id", "session_id", "worker_id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

inbox_messages = Table(
    "inbox_messages",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    # The two halves of the message's id, `<ms>-<seq>`; they grow within a session.
    Column("ms", BigInteger, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("lane", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("user_id", Text),
    Column("user_name", Text),
    _born(),
    Column("offers", Integer, nullable=False, server_default="0"),
    _instant("offered_at"),
    _instant("acknowledged_at"),
    PrimaryKeyConstraint("org_id", "session_id", "ms", "seq"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "inbox_messages_waiting_idx",
    inbox_messages.c.org_id,
    inbox_messages.c.session_id,
    postgresql_where=inbox_messages.c.acknowledged_at.is_(None),
)

prompts = Table(
    "prompts",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("prompt_hash", LargeBinary, nullable=False),
    _born(),
    PrimaryKeyConstraint("org_id", "session_id", "id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "prompts_idempotency_idx",
    prompts.c.org_id,
    prompts.c.session_id,
    prompts.c.idempotency_key,
    unique=True,
    postgresql_where=prompts.c.idempotency_key.is_not(None),
)

security_scans = Table(
    "security_scans",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("scanned_at", Text, nullable=False),  # the event's own time stamp: a repeat overwrites
    Column("event", JSONB, nullable=False),
    _born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "scanned_at"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

tool_errors = Table(
    "tool_errors",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("tool_name", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("context", JSONB, nullable=False, server_default="{}"),
    _born("stored_at"),
    PrimaryKeyConstraint("org_id", "session_id", "lease_epoch", "body_hash"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)

service_pulse = Table(
    "service_pulse",
    metadata,
    # One row. A gap between pulses is a time in which no heartbeat could be stored.
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    _born("alive_since"),
    _born("last_pulse_at"),
)

# --- what comes in ---------------------------------------------------------------------------

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("correlation_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("verified_by", Text, nullable=False),  # '' for the server's secret, else the org's id
    Column("event_name", Text),
    Column("delivery_id", Text),
    Column("body", LargeBinary, nullable=False),  # the bytes that were signed
    Column("org_id", Text),  # null until it is known whose event it is
    Column("status", Text, nullable=False, server_default="received"),
    Column("outcome", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _born("received_at"),
    _born("next_try_at"),
    _instant("done_at"),
)
Index(
    "webhook_events_waiting_idx",
    webhook_events.c.next_try_at,
    postgresql_where=webhook_events.c.status == text("'received'"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # Kept for good: the ids and body hashes outlive the events they point at.
    Column("provider", Text, nullable=False),
    Column("verified_by", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    PrimaryKeyConstraint("provider", "verified_by", "kind", "value"),
)

# --- what goes out ---------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _born("next_try_at"),  # while it is `sending`: when its sender counts as gone
    _born(),
    _instant("sent_at"),
    Column("last_error", Text),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "outbox_order_idx",
    outbox.c.org_id,
    outbox.c.session_id,
    outbox.c.id,
    postgresql_where=text("status in ('waiting', 'sending')"),
)
Index(
    "outbox_due_idx",
    outbox.c.next_try_at,
    outbox.c.id,
    postgresql_where=text("status in ('waiting', 'sending')"),
)

# --- what happened ---------------------------------------------------------------------------

audit_pending = Table(
    "audit_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("org_id", Text),  # null: the system's own chain
    Column("event_type", Text, nullable=False),
    Column("actor_id", Text),
    Column("actor_type", Text, nullable=False),
    Column("entity_type", Text),
    Column("entity_id", Text),
    Column("payload", JSONB, nullable=False, server_default="{}"),
    _born("occurred_at"),
)

__all__ = [
    "activities",
    "api_keys",
    "audit_pending",
    "browser_sessions",
    "completions",
    "inbox_messages",
    "m2m_clients",
    "metadata",
    "org_webhook_secrets",
    "organizations",
    "outbox",
    "projects",
    "prompts",
    "security_scans",
    "service_pulse",
    "session_count_changes",
    "session_counts",
    "session_nacks",
    "sessions",
    "signing_keys",
    "tool_errors",
    "webhook_deliveries",
    "webhook_events",
    "workers",
    "workspace_mappings",
]
