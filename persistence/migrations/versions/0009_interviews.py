"""Interviews."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'


def upgrade() -> None:
    op.create_table(
        "interviews",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("turns_sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turns_begun", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("interviews_pkey")),
        sa.UniqueConstraint("org_id", "session_id", name=op.f("interviews_org_id_session_id_key")),
        sa.ForeignKeyConstraint(["org_id", "session_id"], ["sessions.org_id", "sessions.id"], name=op.f("interviews_org_id_session_id_fkey")),
    )
    op.create_table(
        "interview_turns",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("turn_id", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("pruned_to", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "session_id", "number", name=op.f("interview_turns_pkey")),
        sa.UniqueConstraint("org_id", "session_id", "claimed_at", "turn_id", name=op.f("interview_turns_org_id_session_id_claimed_at_turn_id_key")),
        sa.ForeignKeyConstraint(["org_id", "session_id"], ["interviews.org_id", "interviews.session_id"], name=op.f("interview_turns_org_id_session_id_fkey")),
    )
    op.create_index(
        "interview_turns_kept_idx",
        "interview_turns",
        ["begun_at"],
        unique=False,
        postgresql_where=sa.text("pruned_to IS NULL"),
    )
    op.create_table(
        "interview_frames",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "session_id", "turn", "index", name=op.f("interview_frames_pkey")),
    )
    op.add_column("inbox_messages", sa.Column("turn_id", sa.Text(), nullable=True))
    op.add_column("prompts", sa.Column("turn_id", sa.Text(), nullable=True))
