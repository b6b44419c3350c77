"""Organizations, their projects, and which workspace is whose."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from persistence.tables.ground import born, metadata

organizations = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    Column("max_attempts", Integer, nullable=False, server_default="5"),
    # Whether a session's activities are shown to who holds its link and no credential.
    Column("session_hash_links", Boolean, nullable=False, server_default=text("false")),
    # Whether the organization has an AgentCard, which everybody may read.
    Column("publishes_card", Boolean, nullable=False, server_default=text("false")),
    born(),
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
    # The first repository, and the others as the contract has them.
    Column("repository", Text),
    Column("provider", Text),  # what its sessions are run with; null: routing chooses
    Column("default_branch", Text),
    Column("other_repositories", JSONB, nullable=False, server_default="[]"),
    # `host/owner/name` of all of them, in lower case: whose project an event of GitHub's is.
    Column("repository_places", ARRAY(Text), nullable=False, server_default="{}"),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    born(),
    # Null: the organization's oldest connection of the provider.
    Column("linear_connection_id", Text),
    Column("github_connection_id", Text),
    Column("vercel_connection_id", Text),
    # Which changes of an issue's state start work by themselves.
    Column("auto_development", Boolean, nullable=False, server_default=text("false")),
    Column("auto_qa", Boolean, nullable=False, server_default=text("false")),
    Column("auto_acceptance", Boolean, nullable=False, server_default=text("false")),
    Column("auto_refinement", Boolean, nullable=False, server_default=text("false")),
    # Which failures are looked into by a session that starts by itself.
    Column("scan_failed_runs", Boolean, nullable=False, server_default=text("false")),
    Column("scan_failed_deployments", Boolean, nullable=False, server_default=text("false")),
    Column("disabled_work_types", ARRAY(Text), nullable=False, server_default="{}"),
    Column("excluded_labels", ARRAY(Text), nullable=False, server_default="{}"),
    # Our name of a state -> the team's; what is absent is mapped by the tracker's type of state.
    Column("state_names", JSONB, nullable=False, server_default="{}"),
    Column("tries_per_work_type", Integer, nullable=False, server_default="3"),
    Column("sessions_per_issue", Integer, nullable=False, server_default="8"),
    Column("settings_version", Integer, nullable=False, server_default="1"),
    UniqueConstraint("org_id", "slug"),
    ForeignKeyConstraint(
        ["org_id", "linear_connection_id"], ["connections.org_id", "connections.id"]
    ),
    ForeignKeyConstraint(
        ["org_id", "github_connection_id"], ["connections.org_id", "connections.id"]
    ),
    ForeignKeyConstraint(
        ["org_id", "vercel_connection_id"], ["connections.org_id", "connections.id"]
    ),
)
Index(
    "projects_one_default_idx",
    projects.c.org_id,
    unique=True,
    postgresql_where=projects.c.is_default,
)
Index("projects_repository_places_idx", projects.c.repository_places, postgresql_using="gin")

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
    born(),
    UniqueConstraint("org_id", "provider", "workspace_id"),
)
Index(
    "workspace_mappings_shared_idx",
    workspace_mappings.c.provider,
    workspace_mappings.c.workspace_id,
    unique=True,
    postgresql_where=workspace_mappings.c.shared,
)
