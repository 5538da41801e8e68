"""ATTACH PARTITION that scans the partition.

hazards: blocks
"""

from alembic import op

revision = "attach_without_check"
down_revision = "base_schema"
branch_labels = ("case_attach_without_check",)


def upgrade():
    op.execute("ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM (2026) TO (2027)")
