"""A nullable column with a foreign key, nothing to check.

hazards: none
"""

from alembic import op

revision = "add_column_references"
down_revision = "base_schema"
branch_labels = ("case_add_column_references",)


def upgrade():
    op.execute("ALTER TABLE orders ADD COLUMN giver bigint REFERENCES users")
