"""UNIQUE USING INDEX.

hazards: none
"""

from alembic import op

revision = "unique_using_index"
down_revision = "unique_using_index_before"
branch_labels = ("case_unique_using_index",)


def upgrade():
    op.execute("ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email")
