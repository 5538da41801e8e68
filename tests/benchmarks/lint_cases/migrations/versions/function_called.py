"""A function that is made and called.

hazards: blocks
"""

from alembic import op

revision = "function_called"
down_revision = "base_schema"
branch_labels = ("case_function_called",)


def upgrade():
    op.execute(
        "CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS 'CREATE INDEX orders_placed ON orders (placed)'"
    )
    op.execute("SELECT tidy()")
