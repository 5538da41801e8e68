"""SET UNLOGGED.

hazards: blocks
"""

from alembic import op

revision = "set_unlogged"
down_revision = "base_schema"
branch_labels = ("case_set_unlogged",)


def upgrade():
    op.execute("ALTER TABLE parcels SET UNLOGGED")
