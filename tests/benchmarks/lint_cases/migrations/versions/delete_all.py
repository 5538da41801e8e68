"""DELETE without WHERE.

hazards: loses
"""

from alembic import op

revision = "delete_all"
down_revision = "base_schema"
branch_labels = ("case_delete_all",)


def upgrade():
    op.execute("DELETE FROM parcels")
