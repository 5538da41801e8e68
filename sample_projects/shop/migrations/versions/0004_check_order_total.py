"""Refuse negative totals from now on."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # NOT VALID holds for new rows at once and does not read the old ones under its lock.
    op.create_check_constraint("ck_orders_total", "orders", "total >= 0", postgresql_not_valid=True)


def downgrade() -> None:
    op.drop_constraint("ck_orders_total", "orders", type_="check")
