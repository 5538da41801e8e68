"""VALIDATE of an earlier constraint, and a quick ALTER TABLE behind it.

hazards: none
"""

from alembic import op

revision = "validate_then_alter"
down_revision = "check_validate_later_before"
branch_labels = ("case_validate_then_alter",)


def upgrade():
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT total_positive")
    op.alter_column("orders", "note", server_default="none")
