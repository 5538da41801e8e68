"""A wider type, with a cast that shortens the values on the way.

hazards: blocks
"""

from alembic import op

revision = "using_shortens"
down_revision = "base_schema"
branch_labels = ("case_using_shortens",)


def upgrade():
    op.execute("ALTER TABLE users ALTER COLUMN name TYPE text USING name::varchar(10)")
