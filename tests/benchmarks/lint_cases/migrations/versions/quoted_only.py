"""SET NOT NULL in an unusual spelling.

hazards: blocks breaks-old
"""

from alembic import op

revision = "quoted_only"
down_revision = "base_schema"
branch_labels = ("case_quoted_only",)


def upgrade():
    op.execute('alter table only "public"."users" alter "age" set not null')
