"""The proof goes in the same ALTER TABLE.

hazards: blocks
"""

from alembic import op

revision = "set_not_null_with_drop_check"
down_revision = "set_not_null_with_drop_check_before"
branch_labels = ("case_set_not_null_with_drop_check",)


def upgrade():
    op.execute("ALTER TABLE orders ALTER note SET NOT NULL, DROP CONSTRAINT note_set")
