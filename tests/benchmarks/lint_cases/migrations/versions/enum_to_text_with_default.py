"""A default that fits neither type, taken away and given again beside the change.

hazards: blocks
"""

from alembic import op

revision = "enum_to_text_with_default"
down_revision = "base_schema"
branch_labels = ("case_enum_to_text_with_default",)


def upgrade():
    op.execute(
        "ALTER TABLE orders ALTER COLUMN status DROP DEFAULT, ALTER COLUMN status TYPE text, "
        "ALTER COLUMN status SET DEFAULT 'new'"
    )
