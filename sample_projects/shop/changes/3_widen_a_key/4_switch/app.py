"""Keys of products have eight bytes.

`python app.py` writes a row and prints its id; `python app.py ID` prints what this release sees of it.
"""

from __future__ import annotations

import os
import sys

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from shop.database import TYPES, create_engine


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class Product(Base):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    legacy_code: Mapped[str]
    reviews: Mapped[list[Review]] = relationship()


class Review(Base):
    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    stars: Mapped[int]


def main() -> None:
    engine = create_engine(os.environ["SHOP_DATABASE_URL"], application_name="shop")
    with Session(engine) as session:
        if sys.argv[1:]:
            product = session.get_one(Product, int(sys.argv[1]))
            print(product.title, sorted(review.stars for review in product.reviews))
            return
        product = Product(title="lamp", legacy_code="L-1", reviews=[Review(stars=4)])
        session.add(product)
        session.commit()
        product.reviews.append(Review(stars=5))
        session.commit()
        print(product.id)


if __name__ == "__main__":
    main()
