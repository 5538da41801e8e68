"""A default of random().

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_random"
down_revision = "base_schema"
branch_labels = ("case_add_column_random",)


def upgrade():
    op.add_column("orders", sa.Column("draw", sa.Float(), server_default=sa.text("random()")))
