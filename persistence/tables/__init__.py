"""The schema, once. `migrations/` says how it got there; a test proves that both agree.

Every instant is `timestamptz` in the database's clock. A table that belongs to an organization
names it first, and no query goes without it.
"""

from persistence.tables.a2a import (
    a2a_agents,
    a2a_dispatches,
    a2a_messages,
    a2a_push_configs,
    a2a_tasks,
)
from persistence.tables.access import (
    api_keys,
    browser_sessions,
    idempotency_keys,
    m2m_clients,
    signing_keys,
)
from persistence.tables.audit import (
    audit_chains,
    audit_checkpoints,
    audit_events,
    audit_key_secrets,
    audit_keys,
    audit_nodes,
    audit_subjects,
)
from persistence.tables.batch import batch_jobs
from persistence.tables.connections import connections, opened_repositories
from persistence.tables.counts import (
    issue_phases,
    phase_changes,
    phase_counts,
    session_count_changes,
    session_counts,
)
from persistence.tables.credentials import (
    credential_feeds,
    credential_rotations,
    credential_streams,
    credentials,
)
from persistence.tables.files import file_reservations
from persistence.tables.fleet import service_pulse, workers
from persistence.tables.ground import metadata
from persistence.tables.happenings import audit_pending
from persistence.tables.hosts import mutations, worker_hosts
from persistence.tables.interviews import interview_frames, interview_turns, interviews
from persistence.tables.memory import memories
from persistence.tables.recovery import recovery_packets
from persistence.tables.reports import (
    activities,
    completions,
    inbox_messages,
    prompts,
    security_scans,
    tool_errors,
)
from persistence.tables.routing import routing_arms, routing_choices, routing_observations
from persistence.tables.sending import outbox
from persistence.tables.session_events import event_feeds, session_events
from persistence.tables.session_links import session_links
from persistence.tables.tenants import (
    org_webhook_secrets,
    organizations,
    projects,
    workspace_mappings,
)
from persistence.tables.tracker import (
    assignments,
    tracker_agents,
    tracker_comments,
    tracker_issues,
    tracker_labels,
    tracker_relations,
    tracker_states,
)
from persistence.tables.webhooks import delivery_looks, webhook_deliveries, webhook_events
from persistence.tables.work import session_nacks, sessions

__all__ = [
    "a2a_agents",
    "a2a_dispatches",
    "a2a_messages",
    "a2a_push_configs",
    "a2a_tasks",
    "activities",
    "api_keys",
    "assignments",
    "audit_chains",
    "audit_checkpoints",
    "audit_events",
    "audit_key_secrets",
    "audit_keys",
    "audit_nodes",
    "audit_pending",
    "audit_subjects",
    "batch_jobs",
    "browser_sessions",
    "completions",
    "connections",
    "credential_feeds",
    "credential_rotations",
    "credential_streams",
    "credentials",
    "delivery_looks",
    "event_feeds",
    "file_reservations",
    "idempotency_keys",
    "inbox_messages",
    "interview_frames",
    "interview_turns",
    "interviews",
    "issue_phases",
    "m2m_clients",
    "memories",
    "metadata",
    "mutations",
    "opened_repositories",
    "org_webhook_secrets",
    "organizations",
    "outbox",
    "phase_changes",
    "phase_counts",
    "projects",
    "prompts",
    "recovery_packets",
    "routing_arms",
    "routing_choices",
    "routing_observations",
    "security_scans",
    "service_pulse",
    "session_count_changes",
    "session_counts",
    "session_events",
    "session_links",
    "session_nacks",
    "sessions",
    "signing_keys",
    "tool_errors",
    "tracker_agents",
    "tracker_comments",
    "tracker_issues",
    "tracker_labels",
    "tracker_relations",
    "tracker_states",
    "webhook_deliveries",
    "webhook_events",
    "worker_hosts",
    "workers",
    "workspace_mappings",
]
