"""A hazard inside a DO block.

hazards: blocks breaks-old
"""

from alembic import op

revision = "do_block_hazard"
down_revision = "base_schema"
branch_labels = ("case_do_block_hazard",)


def upgrade():
    op.execute("DO $$ BEGIN ALTER TABLE orders ALTER note SET NOT NULL; END $$")
