"""Peers that speak A2A, what was sent to them, and the tasks that they and others sent here.

What comes from a peer is kept as the JSON text it was: JSONB would refuse some of what JSON allows.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from persistence.tables.ground import born, instant, metadata

a2a_agents = Table(
    "a2a_agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("trust_level", Text, nullable=False),
    Column("card", Text, nullable=False),
    Column("card_url", Text, nullable=False),  # where the card was found, which its ETag is of
    Column("etag", Text),
    # Sent to the peer as a bearer, when it wants one.
    Column("token_encrypted", LargeBinary),
    Column("reachable", Boolean, nullable=False, server_default=text("true")),
    Column("last_error", Text),
    instant("last_fetched_at"),
    # The card of a trusted agent is another one than was trusted; null once somebody has looked.
    instant("card_changed_at"),
    born(),
    born("updated_at"),
    UniqueConstraint("org_id", "url"),
)
Index("a2a_agents_page_idx", a2a_agents.c.org_id, a2a_agents.c.created_at, a2a_agents.c.id)

a2a_dispatches = Table(
    "a2a_dispatches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    # No key of a2a_agents: what was dispatched stays on record when the agent is gone.
    Column("agent_id", Text, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("work_type", Text),
    Column("skill_id", Text),
    Column("session_id", Text),
    Column("input_text", Text, nullable=False),
    Column("input_data", JSONB),
    # Ours, the same however often the message is sent, so that a peer can know a repeat.
    Column("message_id", Text, nullable=False),
    Column("context_id", Text, nullable=False),
    Column("task_id", Text),
    Column("remote_state", Text),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("output_text", Text),
    Column("artifacts", Text),
    Column("cost_tokens", BigInteger),
    Column("error", Text),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default="0"),  # failures since a success
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("tried", Boolean, nullable=False, server_default=text("false")),  # it may have arrived
    Column("taken", Integer, nullable=False, server_default="0"),  # who took it, by counting
    born("next_try_at"),  # while somebody has it: when that one counts as gone
    born(),
    instant("completed_at"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index(
    "a2a_dispatches_page_idx",
    a2a_dispatches.c.org_id,
    a2a_dispatches.c.created_at,
    a2a_dispatches.c.id,
)
Index(
    "a2a_dispatches_agent_idx",
    a2a_dispatches.c.org_id,
    a2a_dispatches.c.agent_id,
    a2a_dispatches.c.created_at,
    a2a_dispatches.c.id,
)
Index(
    "a2a_dispatches_due_idx",
    a2a_dispatches.c.next_try_at,
    a2a_dispatches.c.id,
    postgresql_where=text("status in ('pending', 'running')"),
)

# A task is a session; this is what A2A knows of it beside.
a2a_tasks = Table(
    "a2a_tasks",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("context_id", Text, nullable=False),
    born(),
    PrimaryKeyConstraint("org_id", "session_id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"]),
)
Index("a2a_tasks_page_idx", a2a_tasks.c.org_id, a2a_tasks.c.created_at, a2a_tasks.c.session_id)
Index(
    "a2a_tasks_context_idx",
    a2a_tasks.c.org_id,
    a2a_tasks.c.context_id,
    a2a_tasks.c.created_at,
    a2a_tasks.c.session_id,
)

a2a_messages = Table(
    "a2a_messages",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("sender_id", Text, nullable=False),  # of the credential: ids of messages are its own
    Column("message_id", Text, nullable=False),
    Column("message_hash", LargeBinary, nullable=False),
    Column("message", Text, nullable=False),
    born(),
    PrimaryKeyConstraint("org_id", "session_id", "position"),
    # A message that is sent again starts nothing again.
    UniqueConstraint("org_id", "sender_id", "message_id", "message_hash", name="a2a_messages_once"),
    ForeignKeyConstraint(["org_id", "session_id"], ["a2a_tasks.org_id", "a2a_tasks.session_id"]),
)

a2a_push_configs = Table(
    "a2a_push_configs",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("generation", Text, nullable=False),  # of the client that made it, and that reads them
    # The client's token and how to authenticate to it, as JSON.
    Column("secret_encrypted", LargeBinary),
    Column("told_state", Text),
    Column("is_done", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    born("next_try_at"),
    born(),
    PrimaryKeyConstraint("org_id", "session_id", "id"),
    ForeignKeyConstraint(["org_id", "session_id"], ["a2a_tasks.org_id", "a2a_tasks.session_id"]),
)
Index(
    "a2a_push_configs_due_idx",
    a2a_push_configs.c.next_try_at,
    postgresql_where=text("not is_done"),
)
