"""SQL sent by a connection of its own.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "raw_connection"
down_revision = "base_schema"
branch_labels = ("case_raw_connection",)


def upgrade():
    connection = op.get_bind()
    connection.execute(sa.text("CREATE INDEX orders_placed ON orders (placed)"))
