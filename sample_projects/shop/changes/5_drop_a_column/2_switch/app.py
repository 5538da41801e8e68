"""Nobody asks for the old code any more; it is no longer mapped.

`python app.py` writes a row and prints its id; `python app.py ID` prints what this release sees of it.
"""

from __future__ import annotations

import os
import sys

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from shop.database import TYPES, create_engine


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class Product(Base):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


def main() -> None:
    engine = create_engine(os.environ["SHOP_DATABASE_URL"], application_name="shop")
    with Session(engine) as session:
        if sys.argv[1:]:
            product = session.get_one(Product, int(sys.argv[1]))
            print(product.title)
            return
        product = Product(title="lamp")
        session.add(product)
        session.commit()
        product.title = "desk lamp"
        session.commit()
        print(product.id)


if __name__ == "__main__":
    main()
