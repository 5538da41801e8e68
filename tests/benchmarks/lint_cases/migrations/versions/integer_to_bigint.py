"""Integer to bigint.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "integer_to_bigint"
down_revision = "base_schema"
branch_labels = ("case_integer_to_bigint",)


def upgrade():
    op.alter_column("orders", "quantity", type_=sa.BigInteger())
