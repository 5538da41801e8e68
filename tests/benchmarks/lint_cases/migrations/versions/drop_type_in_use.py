"""A type that a column has.

hazards: fails
"""

from alembic import op

revision = "drop_type_in_use"
down_revision = "base_schema"
branch_labels = ("case_drop_type_in_use",)


def upgrade():
    op.execute("DROP TYPE order_status")
