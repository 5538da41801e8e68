"""A statistics target.

hazards: none
"""

from alembic import op

revision = "set_statistics"
down_revision = "base_schema"
branch_labels = ("case_set_statistics",)


def upgrade():
    op.execute("ALTER TABLE orders ALTER note SET STATISTICS 500")
