"""Text to varchar(10), which is checked against every row.

hazards: blocks
"""

import sqlalchemy as sa
from alembic import op

revision = "text_to_varchar"
down_revision = "base_schema"
branch_labels = ("case_text_to_varchar",)


def upgrade():
    op.alter_column("users", "motto", type_=sa.String(10))
