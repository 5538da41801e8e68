"""Integer to text.

hazards: blocks
"""

from alembic import op

revision = "integer_to_text"
down_revision = "base_schema"
branch_labels = ("case_integer_to_text",)


def upgrade():
    op.execute("ALTER TABLE orders ALTER quantity TYPE text")
