"""The two roles the processes run as, and the least that each needs.

The owner migrates and nothing else. Nobody but the owner changes the schema, and the web can add
to what happened but neither read nor change it.
"""

from typing import Any, Final

import psycopg
from psycopg import sql

WEB: Final = "rensei_web"
JOBS: Final = "rensei_jobs"

GRANTS: Final[dict[str, dict[str, str]]] = {
    WEB: {
        "organizations": "select, insert, update",
        "org_webhook_secrets": "select, insert, update, delete",
        "projects": "select, insert, update",
        "connections": "select, insert, update, delete",
        "opened_repositories": "select, insert, update, delete",
        "delivery_looks": "select, delete",
        "workspace_mappings": "select, insert, delete",
        "api_keys": "select, insert, update",
        "m2m_clients": "select, insert, update",
        "browser_sessions": "select, insert, update",
        "signing_keys": "select, insert",
        "idempotency_keys": "select, insert, update",
        "workers": "select, insert, update",
        "worker_hosts": "select, insert, update",
        "mutations": "select, insert, update",
        "sessions": "select, insert, update",
        "activities": "select, insert, update",
        "completions": "select, insert",
        "session_counts": "select",
        "session_count_changes": "select, insert",
        "phase_counts": "select",
        "phase_changes": "insert",
        "session_events": "select, insert, update",
        "event_feeds": "select, insert, update",
        "session_links": "select",
        "session_nacks": "select, insert, update",
        "batch_jobs": "select, insert, update",
        "inbox_messages": "select, insert, update",
        "interviews": "select, insert, update",
        "interview_turns": "select, insert, update",
        "interview_frames": "select, insert",
        "prompts": "select, insert",
        "recovery_packets": "select, insert, update",
        "security_scans": "select, insert, update",
        "file_reservations": "select, insert, update, delete",
        "tool_errors": "select, insert",
        "memories": "select, insert, update",
        "tracker_issues": "select, insert, update",
        "tracker_states": "select, insert, update",
        "tracker_labels": "select, insert, update",
        "tracker_comments": "select, insert",
        "tracker_relations": "select, insert, delete",
        "routing_arms": "select, insert, update",
        "routing_choices": "select, insert, update",
        "routing_observations": "select, insert",
        "service_pulse": "select, insert, update",
        "credentials": "select, insert, update, delete",
        "credential_feeds": "select, insert, update",
        "credential_rotations": "select, insert, update",
        "credential_streams": "select, insert, update, delete",
        "a2a_agents": "select, insert, update, delete",
        "a2a_dispatches": "select, insert, update",
        "a2a_tasks": "select, insert",
        "a2a_messages": "select, insert",
        "a2a_push_configs": "select, insert, update, delete",
        "outbox": "insert",
        "webhook_events": "select, insert, update",
        "webhook_deliveries": "select, insert",
        "audit_pending": "insert",
        "audit_events": "select",
        "audit_chains": "select",
        "audit_nodes": "select",
        "audit_checkpoints": "select",
        "audit_keys": "select, insert, update",
        "audit_key_secrets": "insert",
        "audit_subjects": "select, delete",
    },
    JOBS: {
        "organizations": "select",
        "org_webhook_secrets": "select",
        "projects": "select",
        "connections": "select",
        "opened_repositories": "select",
        "workspace_mappings": "select",
        "workers": "select",
        "sessions": "select, insert, update",
        "activities": "select, delete",
        "completions": "select",
        "session_events": "select, insert, update, delete",
        "event_feeds": "select, insert, update",
        "session_links": "select, insert, update",
        "routing_arms": "select, insert, update",
        "routing_choices": "select",
        "routing_observations": "select, insert",
        "batch_jobs": "select, update",
        "idempotency_keys": "select, delete",
        "session_nacks": "select, delete",
        "session_counts": "select, insert, update",
        "session_count_changes": "select, insert, update, delete",
        "phase_counts": "select, insert, update",
        "issue_phases": "select, insert, update",
        "phase_changes": "select, insert, delete",
        "inbox_messages": "select, insert, update",
        "file_reservations": "select, delete",
        "interviews": "select, update",
        "interview_turns": "select, update",
        "interview_frames": "select, delete",
        "prompts": "select, insert",
        "recovery_packets": "select, insert",
        "tool_errors": "select",
        "tracker_agents": "select, insert",
        "assignments": "select, insert, delete",
        "tracker_issues": "select, insert, update",
        "tracker_states": "select, insert, update",
        "tracker_labels": "select, insert, update, delete",
        "tracker_comments": "select, insert, update, delete",
        "service_pulse": "select",
        "a2a_agents": "select",
        "a2a_dispatches": "select, update",
        "a2a_tasks": "select",
        "a2a_messages": "select",
        "a2a_push_configs": "select, update",
        "outbox": "select, insert, update, delete",
        "webhook_events": "select, insert, update, delete",
        "webhook_deliveries": "select, insert",
        "delivery_looks": "select, insert, update",
        "audit_pending": "select, insert, delete",
        "audit_events": "select, insert",
        "audit_chains": "select, insert, update",
        "audit_nodes": "select, insert",
        "audit_checkpoints": "select, insert, update",
        "audit_keys": "select, insert",
        "audit_key_secrets": "select, insert",
        "audit_subjects": "select, insert",
    },
}


def make_roles(owner: psycopg.Connection[Any]) -> None:
    """Make the roles where they are missing.

    Roles belong to the whole cluster, so another database's start may make them first.
    """
    for role in GRANTS:
        name = sql.Identifier(role)
        known = owner.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
        if not known:
            try:
                owner.execute(sql.SQL("create role {} nologin").format(name))
            except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                pass


def apply_grants(owner: psycopg.Connection[Any]) -> None:
    """Give each role, once made, exactly what the table says."""
    for role, tables in GRANTS.items():
        name = sql.Identifier(role)
        with owner.transaction():
            owner.execute(sql.SQL("revoke all on all tables in schema public from {}").format(name))
            owner.execute(sql.SQL("grant usage on schema public to {}").format(name))
            for table, rights in tables.items():
                owner.execute(
                    sql.SQL("grant {} on {} to {}").format(
                        sql.SQL(rights), sql.Identifier(table), name
                    )
                )
        # Where no separate logins are given, the processes connect as the owner and put the
        # role on; for that the owner must be a member of it.
        member = owner.execute("select pg_has_role(current_user, %s, 'SET')", (role,)).fetchone()
        if member is not None and not member[0]:
            owner.execute(sql.SQL("grant {} to current_user").format(name))
