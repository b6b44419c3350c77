"""The built-in tracker: issues as the tracker reported them and as workers have moved them since.

An id is one project's: what one project is told of an issue, another of the organization neither
sees nor spoils.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from persistence.tables.ground import born, instant, metadata

tracker_issues = Table(
    "tracker_issues",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("url", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    # Our name of the state it is in, null while nobody has said, and the tracker's last word.
    Column("state", Text),
    Column("reported_state", JSONB(none_as_null=True)),
    Column("team", JSONB(none_as_null=True)),
    Column("assignee", JSONB(none_as_null=True)),
    Column("parent_id", Text),
    Column("parent_identifier", Text),
    Column("tracker_project", JSONB(none_as_null=True)),
    Column("labels", JSONB, nullable=False, server_default="[]"),
    # Our states that were sent to the tracker, oldest first, and how long its word is awaited.
    Column("awaited", ARRAY(Text), nullable=False, server_default="{}"),
    instant("awaited_until"),
    instant("reported_at"),  # the tracker's time of its last report; null: known from a session
    Column("gone", Boolean, nullable=False, server_default=text("false")),
    born(),
    born("updated_at"),
    PrimaryKeyConstraint("org_id", "project_id", "id"),
)
Index("tracker_issues_id_idx", tracker_issues.c.org_id, tracker_issues.c.id)
Index("tracker_issues_identifier_idx", tracker_issues.c.org_id, tracker_issues.c.identifier)
Index(
    "tracker_issues_parent_idx",
    tracker_issues.c.org_id,
    tracker_issues.c.project_id,
    tracker_issues.c.parent_id,
    postgresql_where=tracker_issues.c.parent_id.is_not(None),
)

tracker_states = Table(
    "tracker_states",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("team_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    PrimaryKeyConstraint("org_id", "project_id", "team_id", "id"),
)

tracker_labels = Table(
    "tracker_labels",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("org_id", "project_id", "id"),
)

tracker_comments = Table(
    "tracker_comments",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("issue_id", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("author", JSONB(none_as_null=True)),
    Column("digest", LargeBinary),  # of who wrote what, where a worker did: a repeat is the same
    born(),
    born("updated_at"),
    PrimaryKeyConstraint("org_id", "project_id", "id"),
)
Index(
    "tracker_comments_issue_idx",
    tracker_comments.c.org_id,
    tracker_comments.c.project_id,
    tracker_comments.c.issue_id,
    tracker_comments.c.created_at,
)

tracker_relations = Table(
    "tracker_relations",
    metadata,
    Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("issue_id", Text, nullable=False),
    Column("related_issue_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    born(),
    PrimaryKeyConstraint("org_id", "project_id", "id"),
    UniqueConstraint(
        "org_id", "project_id", "issue_id", "related_issue_id", "type", name="tracker_relations_one"
    ),
)
Index(
    "tracker_relations_back_idx",
    tracker_relations.c.org_id,
    tracker_relations.c.project_id,
    tracker_relations.c.related_issue_id,
)

# By which ids the tracker knows the agent, as its agent sessions have told.
tracker_agents = Table(
    "tracker_agents",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    PrimaryKeyConstraint("org_id", "user_id"),
)

# Issues that were assigned to the agent, until an agent session comes or has not come in time.
assignments = Table(
    "assignments",
    metadata,
    Column("org_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("issue_id", Text, nullable=False),
    born("assigned_at"),
    PrimaryKeyConstraint("org_id", "project_id", "issue_id"),
)
Index("assignments_due_idx", assignments.c.assigned_at)
