"""A product is in one category.

`python app.py` writes a row and prints its id; `python app.py ID` prints what this release sees of it.
"""

from __future__ import annotations

import os
import sys

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from shop.database import TYPES, create_engine


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class Category(Base):
    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Product(Base):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    legacy_code: Mapped[str]
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"))
    category: Mapped[Category | None] = relationship()


def main() -> None:
    engine = create_engine(os.environ["SHOP_DATABASE_URL"], application_name="shop")
    with Session(engine) as session:
        if sys.argv[1:]:
            product = session.get_one(Product, int(sys.argv[1]))
            print(product.category and product.category.title)
            return
        first, second = session.scalars(select(Category).order_by(Category.id).limit(2))
        product = Product(title="lamp", legacy_code="L-1", category=first)
        session.add(product)
        session.commit()
        product.category = second
        session.commit()
        print(product.id)


if __name__ == "__main__":
    main()
