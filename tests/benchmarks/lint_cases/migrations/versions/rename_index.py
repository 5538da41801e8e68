"""An index gets another name.

hazards: none
"""

from alembic import op

revision = "rename_index"
down_revision = "base_schema"
branch_labels = ("case_rename_index",)


def upgrade():
    op.execute("ALTER INDEX orders_user_id RENAME TO orders_by_user")
