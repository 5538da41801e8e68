"""A default of now(), which is the same for all rows.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_now"
down_revision = "base_schema"
branch_labels = ("case_add_column_now",)


def upgrade():
    op.add_column("orders", sa.Column("made", sa.DateTime(timezone=True), server_default=sa.func.now()))
