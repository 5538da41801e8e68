"""One row changed by its key, after an instant ALTER TABLE.

hazards: none
"""

import sqlalchemy as sa
from alembic import op

revision = "ddl_then_update_by_key"
down_revision = "base_schema"
branch_labels = ("case_ddl_then_update_by_key",)


def upgrade():
    op.add_column("orders", sa.Column("gift", sa.Boolean()))
    op.execute("UPDATE orders SET gift = false WHERE id = 1")
