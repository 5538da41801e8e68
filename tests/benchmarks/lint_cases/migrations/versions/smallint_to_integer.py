"""Smallint to integer.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "smallint_to_integer"
down_revision = "base_schema"
branch_labels = ("case_smallint_to_integer",)


def upgrade():
    op.alter_column("users", "age", type_=sa.Integer())
