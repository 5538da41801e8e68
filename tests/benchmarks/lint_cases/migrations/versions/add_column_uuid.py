"""A default of gen_random_uuid().

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "add_column_uuid"
down_revision = "base_schema"
branch_labels = ("case_add_column_uuid",)


def upgrade():
    op.add_column("orders", sa.Column("public_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))
