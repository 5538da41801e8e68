"""People have a given name and a family name; the column `name` is no longer mapped.

`python app.py` writes a row and prints its id; `python app.py ID` prints what this release sees of it.
"""

from __future__ import annotations

import os
import sys
from uuid import uuid4

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from shop.database import TYPES, create_engine


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    given_name: Mapped[str]
    family_name: Mapped[str]


def main() -> None:
    engine = create_engine(os.environ["SHOP_DATABASE_URL"], application_name="shop")
    with Session(engine) as session:
        if sys.argv[1:]:
            user = session.get_one(User, int(sys.argv[1]))
            print(user.given_name, user.family_name)
            return
        user = User(email=f"{uuid4()}@example.org", given_name="Ada", family_name="Byron")
        session.add(user)
        session.commit()
        user.family_name = "Lovelace"
        session.commit()
        print(user.id)


if __name__ == "__main__":
    main()
