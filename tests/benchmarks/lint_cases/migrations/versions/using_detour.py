"""The type stays, and USING takes a way round by another.

hazards: blocks
"""

from alembic import op

revision = "using_detour"
down_revision = "base_schema"
branch_labels = ("case_using_detour",)


def upgrade():
    op.execute("ALTER TABLE orders ALTER COLUMN status TYPE order_status USING status::text::order_status")
