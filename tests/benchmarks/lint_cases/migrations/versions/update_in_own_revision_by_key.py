"""One row changed.

hazards: none
"""

from alembic import op

revision = "update_in_own_revision_by_key"
down_revision = "base_schema"
branch_labels = ("case_update_in_own_revision_by_key",)


def upgrade():
    op.execute("UPDATE orders SET note = 'x' WHERE id = 1")
