"""The audit chains: what was sealed, with which keys, and what proves it.

Nobody updates or deletes events: no role has the right, and row security is forced besides, so
that even the owner's own statements touch none. The months of `audit_events` lie in a schema of
their own, `audit_months`, which only the owner may use.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from persistence.tables.ground import born, instant, metadata

# One row per chain: how long it is and how it ends. `workspace_id` is the organization's id, or
# `system`. `frontier` holds the roots of the complete subtrees, largest first, so that appending
# reads nothing of what is sealed.
audit_chains = Table(
    "audit_chains",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("head_hash", LargeBinary, nullable=False),
    instant("head_at"),
    Column("frontier", LargeBinary, nullable=False),
    Column("checkpoint_size", BigInteger, nullable=False, server_default="0"),
    instant("checkpoint_at"),
    # Makes the digests of `audit_subjects`; sealed under the master key.
    Column("subject_key", LargeBinary, nullable=False),
    born(),
)
Index(
    "audit_chains_uncovered_idx",
    audit_chains.c.workspace_id,
    postgresql_where=text("size > checkpoint_size"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("sequence_number", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("actor_id", Text),
    Column("actor_type", Text, nullable=False),
    Column("entity_type", Text),
    Column("entity_id", Text),
    # The canonical JSON that was hashed, as a text: JSONB would write it anew.
    Column("payload", Text, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("entry_hash", LargeBinary, nullable=False),
    instant("occurred_at", nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("signing_key_id", Text, nullable=False),
    PrimaryKeyConstraint("workspace_id", "sequence_number", "occurred_at"),
    postgresql_partition_by="RANGE (occurred_at)",
)
Index(
    "audit_events_entity_idx",
    audit_events.c.workspace_id,
    audit_events.c.entity_id,
    audit_events.c.sequence_number,
)
Index(
    "audit_events_entity_type_idx",
    audit_events.c.workspace_id,
    audit_events.c.entity_type,
    audit_events.c.sequence_number,
)

audit_keys = Table(
    "audit_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    born(),
    instant("revoked_at"),
)
Index("audit_keys_workspace_idx", audit_keys.c.workspace_id)
Index(
    "audit_keys_one_active_idx",
    audit_keys.c.workspace_id,
    unique=True,
    postgresql_where=audit_keys.c.revoked_at.is_(None),
)

# The private parts, apart from the public ones: the web makes some and reads none.
audit_key_secrets = Table(
    "audit_key_secrets",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("secret_encrypted", LargeBinary, nullable=False),
)

# The roots of complete subtrees of two leaves or more. Level 0 is not kept twice: a leaf is hashed
# from the event's `entry_hash`.
audit_nodes = Table(
    "audit_nodes",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("workspace_id", "level", "index"),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("tree_size", BigInteger, nullable=False),
    Column("root_hash", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    born(),
    instant("filed_at"),
    instant("posted_at"),
    instant("stamped_at"),
    Column("time_stamp", LargeBinary),  # RFC 3161, over the note
    PrimaryKeyConstraint("workspace_id", "tree_size"),
)
Index(
    "audit_checkpoints_unfiled_idx",
    audit_checkpoints.c.created_at,
    postgresql_where=audit_checkpoints.c.filed_at.is_(None),
)
Index(
    "audit_checkpoints_stamped_idx",
    audit_checkpoints.c.workspace_id,
    audit_checkpoints.c.tree_size,
    postgresql_where=audit_checkpoints.c.stamped_at.is_not(None),
)

# Whom the encrypted members of payloads are about. Deleting the row makes them unreadable for good.
audit_subjects = Table(
    "audit_subjects",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("key_encrypted", LargeBinary, nullable=False),
    born(),
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "digest"),
)
