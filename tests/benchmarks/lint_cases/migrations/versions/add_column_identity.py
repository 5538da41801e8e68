"""An identity column.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_identity"
down_revision = "base_schema"
branch_labels = ("case_add_column_identity",)


def upgrade():
    op.add_column("orders", sa.Column("number", sa.BigInteger(), sa.Identity()))
