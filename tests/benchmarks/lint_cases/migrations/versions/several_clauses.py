"""One hazard among the clauses of an ALTER TABLE.

hazards: blocks breaks-old
"""

from alembic import op

revision = "several_clauses"
down_revision = "base_schema"
branch_labels = ("case_several_clauses",)


def upgrade():
    op.execute(
        "ALTER TABLE users ADD COLUMN city text, ALTER COLUMN age SET NOT NULL, ALTER COLUMN code SET DEFAULT 'x'"
    )
