"""A column that the old release maps.

hazards: breaks-old loses
"""

from alembic import op

revision = "drop_column"
down_revision = "base_schema"
branch_labels = ("case_drop_column",)


def upgrade():
    op.drop_column("orders", "note")
