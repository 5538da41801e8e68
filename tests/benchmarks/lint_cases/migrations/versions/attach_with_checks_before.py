"""Applied before attach_with_checks."""

from alembic import op

revision = "attach_with_checks_before"
down_revision = "base_schema"
branch_labels = ("case_attach_with_checks_before",)


def upgrade():
    op.execute(
        "ALTER TABLE events_2026 ADD CONSTRAINT fits CHECK (year IS NOT NULL AND year >= 2026 AND year < 2027)"
    )
    op.execute(
        "ALTER TABLE events_rest ADD CONSTRAINT without CHECK (year IS NULL OR year < 2026 OR year >= 2027)"
    )
