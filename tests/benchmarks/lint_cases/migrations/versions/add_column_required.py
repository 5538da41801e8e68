"""NOT NULL without a default.

hazards: fails breaks-old
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_required"
down_revision = "base_schema"
branch_labels = ("case_add_column_required",)


def upgrade():
    op.add_column("orders", sa.Column("country", sa.Text(), nullable=False))
