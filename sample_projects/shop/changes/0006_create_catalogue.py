"""Create the catalogue: products in categories, and what people think of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "categories",
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_categories"),
        sa.UniqueConstraint("title", name="uq_categories_title"),
    )
    op.create_table(
        "products",
        # Four bytes: enough for two thousand million, they said.
        sa.Column("id", sa.Integer, sa.Identity(always=False), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("legacy_code", sa.Text, nullable=False),
        sa.Column("category_id", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name="fk_products_category_id"),
    )
    op.create_index("ix_products_category_id", "products", ["category_id"])
    op.create_table(
        "reviews",
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
        sa.Column("product_id", sa.Integer, nullable=False),
        sa.Column("stars", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_reviews_product_id"),
    )
    op.create_index("ix_reviews_product_id", "reviews", ["product_id"])
    op.execute("INSERT INTO categories (title) SELECT 'category ' || n FROM generate_series(1, 20) n")
    op.execute(
        "INSERT INTO products (title, legacy_code, category_id)"
        " SELECT 'product ' || n, 'P-' || n, 1 + n % 20 FROM generate_series(1, 3000) n"
    )
    op.execute(
        "INSERT INTO reviews (product_id, stars) SELECT 1 + n % 3000, 1 + n % 5 FROM generate_series(1, 6000) n"
    )


def downgrade() -> None:
    op.drop_table("reviews")
    op.drop_table("products")
    op.drop_table("categories")
