"""Applied before drop_check."""

from alembic import op

revision = "drop_check_before"
down_revision = "base_schema"
branch_labels = ("case_drop_check_before",)


def upgrade():
    op.execute("ALTER TABLE orders ADD CONSTRAINT note_set CHECK (note IS NOT NULL)")
