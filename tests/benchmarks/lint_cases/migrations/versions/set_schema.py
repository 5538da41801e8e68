"""A table that moves to another schema.

hazards: breaks-old
"""

from alembic import op

revision = "set_schema"
down_revision = "base_schema"
branch_labels = ("case_set_schema",)


def upgrade():
    op.execute("CREATE SCHEMA shop")
    op.execute("ALTER TABLE parcels SET SCHEMA shop")
