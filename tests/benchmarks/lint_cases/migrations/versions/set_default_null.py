"""A NOT NULL column gets DEFAULT NULL, which takes its default away.

hazards: breaks-old
"""

from alembic import op

revision = "set_default_null"
down_revision = "base_schema"
branch_labels = ("case_set_default_null",)


def upgrade():
    op.execute("ALTER TABLE orders ALTER COLUMN status SET DEFAULT NULL")
