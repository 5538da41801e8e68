"""A hazard in a string that a DO block executes.

hazards: breaks-old fails
"""

from alembic import op

revision = "do_block_execute"
down_revision = "base_schema"
branch_labels = ("case_do_block_execute",)


def upgrade():
    op.execute("DO $$ BEGIN EXECUTE 'ALTER TABLE users ADD COLUMN city text NOT NULL'; END $$")
