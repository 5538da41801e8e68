"""Applied before set_not_null_with_drop_check."""

from alembic import op

revision = "set_not_null_with_drop_check_before"
down_revision = "base_schema"
branch_labels = ("case_set_not_null_with_drop_check_before",)


def upgrade():
    op.execute("ALTER TABLE orders ADD CONSTRAINT note_set CHECK (note IS NOT NULL)")
