"""Which tables and columns source maps, in every way that people write it; nothing of it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from evolve.compat.find import followed, named
from evolve.compat.models import MappedColumn, Models
from evolve.compat.read_models import read_models
from evolve.compat.source import Code
from evolve.sql.names import QualifiedName

ROOT = Path("/project")
IMPORTS = """
import enum
import uuid
from typing import Annotated, Optional

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, deferred, mapped_column, relationship

raise RuntimeError("it was run")
"""
BASE = IMPORTS + "class Base(DeclarativeBase): pass\n"


@dataclass(frozen=True)
class Files:
    """An application as texts, by their paths below the project."""

    texts: dict[str, str]

    def read(self, path: Path) -> str | None:
        return self.texts.get(path.relative_to(ROOT).as_posix()) if path.is_relative_to(ROOT) else None

    def below(self, folder: Path) -> Sequence[Path]:
        return [path for name in sorted(self.texts) if (path := ROOT / name).is_relative_to(folder)]


def read(texts: dict[str, str] | str) -> Models:
    files = Files({"models.py": texts} if isinstance(texts, str) else texts)
    return read_models(Code(files, [ROOT]), files.below(ROOT), "here")


def columns(models: Models, table: str = "orders") -> dict[str, MappedColumn]:
    return {column.name: column for mapped in models.of(QualifiedName(table)) for column in mapped.columns}


KEY = "    id: Mapped[int] = mapped_column(primary_key=True)\n"
ORDER = f'{BASE}class Order(Base):\n    __tablename__ = "orders"\n{KEY}'


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("note: Mapped[str]", "note"),
        ('note: "Mapped[str | None]"', "note"),
        ("note = mapped_column(Text)", "note"),
        ("note = Column(Text)", "note"),
        ("note = sa.Column(sa.Text)", "note"),
        ('remark = Column("note", Text)', "note"),
        ('remark: Mapped[str] = mapped_column("note")', "note"),
        ('remark: Mapped[str] = mapped_column(name="note")', "note"),
        ("note: Mapped[str] = deferred(mapped_column(Text))", "note"),
        ("note = sa.orm.column_property(Column(Text))", "note"),
        ("@declared_attr\n    def note(cls): return mapped_column(Text)", "note"),
        ('note: Mapped["Annotated[str, mapped_column(Text)]"]', "note"),
    ],
)
def test_column(attribute: str, name: str) -> None:
    models = read(f"{ORDER}    {attribute}\n")

    assert (list(columns(models)), next(models.all()).partly, models.gaps) == (["id", name], (), ())


@pytest.mark.parametrize(
    "attribute",
    [
        'lines = relationship("Line")',
        "lines: Mapped[list['Line']] = relationship()",
        "total = sa.orm.column_property(sa.select(1).scalar_subquery())",
        "alias = sa.orm.synonym('id')",
        "GREETING = 'hello'",
        "limit: int = 5",
        "__mapper_args__ = {'eager_defaults': True}",
        "@property\n    def note(self): return 1",
        "@sa.ext.hybrid.hybrid_property\n    def note(self): return 1",
    ],
)
def test_what_is_no_column(attribute: str) -> None:
    models = read(f"{ORDER}    {attribute}\n")

    assert (list(columns(models)), next(models.all()).partly) == (["id"], ())


@pytest.mark.parametrize(
    ("attribute", "nullable", "default", "left_out"),
    [
        ("c: Mapped[str]", False, False, False),
        ("c: Mapped[str | None]", True, False, False),
        ("c: Mapped[Optional[str]]", True, False, False),
        ("c: Mapped[str | None] = mapped_column(nullable=False)", False, False, False),
        ("c = Column(Text)", True, False, False),
        ("c = Column(Text, nullable=False)", False, False, False),
        ("c = Column(Text, default='')", True, True, False),
        ("c = Column(Text, default=None)", True, False, False),
        ("c: Mapped[str] = mapped_column(insert_default='')", False, True, False),
        ("c: Mapped[str] = mapped_column(server_default='')", False, False, True),
        ("c: Mapped[int] = mapped_column(sa.Identity())", False, False, True),
        ("c: Mapped[int] = mapped_column(sa.Computed('id * 2'))", False, False, True),
        ("c: Mapped[int] = mapped_column(sa.Sequence('s'))", False, True, False),
    ],
)
def test_values(attribute: str, nullable: bool, default: bool, left_out: bool) -> None:
    column = columns(read(f"{ORDER}    {attribute}\n"))["c"]

    assert (column.nullable, column.default, column.left_out) == (nullable, default, left_out)


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("id: Mapped[int] = mapped_column(primary_key=True)", True),
        ("id = Column(sa.BigInteger, primary_key=True)", True),
        ("id = Column(Integer, primary_key=True, autoincrement=False)", False),
        ("id = Column(Integer, ForeignKey('t.id'), primary_key=True)", False),
        ("id: Mapped[uuid.UUID] = mapped_column(primary_key=True)", False),
        ("id: Mapped[int] = mapped_column(primary_key=True, default=make)", False),
        ("id = Column(Integer, primary_key=True)\n    b = Column(Integer, primary_key=True)", False),
    ],
)
def test_keys_that_the_database_counts_up(key: str, counts: bool) -> None:
    models = read(f'{BASE}class Order(Base):\n    __tablename__ = "orders"\n    {key}\n')

    assert columns(models)["id"].left_out is counts


@pytest.mark.parametrize(
    ("type_", "sql"),
    [
        ("c = Column(String(50))", "character varying"),
        ("c = Column(sa.DateTime(timezone=True))", "timestamp with time zone"),
        ("c: Mapped[int]", "integer"),
        ("c: Mapped[uuid.UUID]", "uuid"),
        ("c = Column(Money)", None),
        ("c = Column(sa.ARRAY(Text))", None),
    ],
)
def test_types(type_: str, sql: str | None) -> None:
    source = ORDER.replace("class Base", "class Money(sa.TypeDecorator): impl = Integer\nclass Base")
    type_of = columns(read(f"{source}    {type_}\n"))["c"].type

    assert (type_of.sql if type_of else None) == sql


def test_types_of_annotations_that_the_base_changes() -> None:
    source = BASE.replace(": pass", ":\n    type_annotation_map = {int: sa.BigInteger}")
    models = read(
        f'{source}class Order(Base):\n    __tablename__ = "orders"\n    c: Mapped[int]\n    d: Mapped[str]\n'
    )

    assert [c.type.sql for c in columns(models).values() if c.type] == ["bigint", "character varying"]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ('c = Column(sa.Enum("a", "b", name="kind"))', ("a", "b")),
        ("c = Column(sa.Enum(Kind))", ("a", "b")),
        ("c: Mapped[Kind]", ("a", "b")),
        ("c: Mapped[Kind | None]", ("a", "b")),
        ("c = Column(sa.Enum(Kind, values_callable=lambda e: [m.value for m in e]))", ("1", "2")),
        ("c = Column(sa.Enum(*names, name='kind'))", None),
        ("c = Column(sa.Enum(Kind, values_callable=some))", None),
    ],
)
def test_enums(type_: str, values: tuple[str, ...] | None) -> None:
    source = ORDER.replace("class Base", 'class Kind(str, enum.Enum):\n    a = "1"\n    b = "2"\nclass Base')
    type_of = columns(read(f"{source}    {type_}\n"))["c"].type

    assert type_of is not None
    assert type_of.values == values


def test_mixins_and_abstract_bases() -> None:
    source = f"""{BASE}
class Stamped:
    made: Mapped[str]

class Keyed(Base):
    __abstract__ = True
    id: Mapped[int] = mapped_column(primary_key=True)

class Order(Stamped, Keyed):
    __tablename__ = "orders"
    note: Mapped[str]
"""
    assert set(columns(read(source))) == {"note", "made", "id"}


def test_a_class_without_a_table_of_its_own_shares_that_of_its_parent() -> None:
    models = read(f"{ORDER}class Gift(Order):\n    card: Mapped[str]\n")

    assert (models.maps_column(QualifiedName("orders"), "card"), len(models.tables)) == (True, 1)


def test_a_class_with_a_table_of_its_own_leaves_the_parents_columns_there() -> None:
    child = (
        "class Gift(Order):\n"
        '    __tablename__ = "gifts"\n'
        '    id: Mapped[int] = mapped_column(ForeignKey("orders.id"))\n'
        "    card: Mapped[str]\n"
    )
    models = read(f"{ORDER}    note: Mapped[str]\n{child}")

    assert (set(columns(models, "gifts")), set(columns(models))) == ({"id", "card"}, {"id", "note"})


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('__tablename__ = "a" + "b"', "ab"),
        ("__tablename__ = NAME", "named"),
        ("@declared_attr\n    def __tablename__(cls): return cls.__name__.lower()", "order"),
        (
            "@declared_attr.directive\n"
            "    def __tablename__(cls) -> str:\n"
            '        """Docs."""\n'
            '        return f"{cls.__name__.lower()}s"',
            "orders",
        ),
    ],
)
def test_names_of_tables(body: str, name: str) -> None:
    models = read(f'{BASE}NAME = "named"\nclass Order(Base):\n    {body}\n    id: Mapped[int]\n')

    assert [table.name for table in models.tables] == [name]


@pytest.mark.parametrize(
    "source",
    [
        "class Order(Base):\n"
        '    __tablename__ = "orders"\n'
        '    __table_args__ = {"schema": "shop"}\n'
        "    id: Mapped[int]\n",
        "class Order(Base):\n"
        '    __tablename__ = "orders"\n'
        '    __table_args__ = (sa.Index("i", "id"), {"schema": "shop"})\n'
        "    id: Mapped[int]\n",
        "class Shop(Base):\n"
        "    __abstract__ = True\n"
        '    metadata = MetaData(schema="shop")\n'
        "class Order(Shop):\n"
        '    __tablename__ = "orders"\n'
        "    id: Mapped[int]\n",
        'Orders = Table("orders", MetaData(schema="shop"), Column("id", Integer))\n',
        'Orders = Table("orders", MetaData(), Column("id", Integer), schema="shop")\n',
    ],
)
def test_schemas(source: str) -> None:
    assert list(read(BASE + source).tables) == [QualifiedName("orders", "shop")]


def test_core_table() -> None:
    models = read(
        f'{BASE}orders = Table("orders", Base.metadata, Column("id", Integer), Column("note", Text), '
        'sa.UniqueConstraint("id"))\n'
    )

    assert (list(columns(models)), next(models.all()).partly) == (["id", "note"], ())


def test_flask_sqlalchemy() -> None:
    source = """
from flask_sqlalchemy import SQLAlchemy
db = SQLAlchemy()
class OrderLine(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    note = db.Column(db.String(50), nullable=False)
"""
    found = columns(read(source), "order_line")

    assert {name: column.nullable for name, column in found.items()} == {"id": False, "note": False}


def test_sqlmodel() -> None:
    source = """
from sqlmodel import Field, Relationship, SQLModel
class OrderBase(SQLModel):
    note: str | None = None
    total: int = 0
class Order(OrderBase, table=True):
    id: int | None = Field(default=None, primary_key=True)
    lines: list["Line"] = Relationship(back_populates="order")
class OrderRead(OrderBase):
    id: int
"""
    models = read(source)

    assert (list(models.tables), set(columns(models, "order"))) == (
        [QualifiedName("order")],
        {"id", "note", "total"},
    )


def test_other_files_are_followed() -> None:
    models = read(
        {
            "app/__init__.py": "",
            "app/base.py": f"{BASE}class Stamped:\n"
            f"    made = Column(Text)\n"
            f"key = Annotated[int, mapped_column(primary_key=True)]\n",
            "app/kinds.py": "import enum\nclass Kind(enum.Enum):\n    a = 1\n",
            "app/models/__init__.py": "from .order import Order\n",
            "app/models/order.py": """
from sqlalchemy import Enum
from sqlalchemy.orm import Mapped, mapped_column
from app import base
from app.base import Stamped, key
from ..kinds import Kind
class Order(Stamped, base.Base):
    __tablename__ = "orders"
    id: Mapped[key]
    kind: Mapped[Kind] = mapped_column(Enum(Kind))
""",
        }
    )
    found = columns(models)

    assert (
        set(found),
        found["id"].primary_key,
        found["kind"].type and found["kind"].type.values,
        models.gaps,
    ) == (
        {"id", "kind", "made"},
        True,
        ("a",),
        (),
    )


# -- what is not known is said ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "attribute",
    [
        "note = make_column()",
        "note: Mapped[str] = make_column()",
        "place = sa.orm.composite(Point, mapped_column('x'), mapped_column('y'))",
        "note = Column(name, Text)",
    ],
)
def test_a_class_is_partly_read(attribute: str) -> None:
    models = read(f"{ORDER}    {attribute}\n")

    assert models.maps_column(QualifiedName("orders"), "other") is None


def test_a_base_of_a_library_may_map_columns() -> None:
    models = read(
        f"{BASE}from fastapi_users import UserTable\n"
        f"class User(UserTable, Base):\n"
        f'    __tablename__ = "users"\n'
        f"    id: Mapped[int]\n"
    )

    assert models.maps_column(QualifiedName("users"), "email") is None


def test_a_name_that_is_made_when_it_runs_is_a_gap() -> None:
    models = read(f'{BASE}class Order(Base):\n    __tablename__ = prefix() + "orders"\n    id: Mapped[int]\n')

    assert (models.maps_table(QualifiedName("orders")), len(models.gaps)) == (None, 1)


def test_a_file_that_is_no_python_is_a_gap() -> None:
    assert len(read({"models.py": ORDER, "broken.py": "class Mapped[ Column("}).gaps) == 1


def test_a_column_that_a_function_makes_is_known_by_name_alone() -> None:
    models = read(
        f"{BASE}def text(size): return Column(String(size))\n{ORDER.removeprefix(BASE)}    note = text(5)\n"
    )

    assert (columns(models)["note"].static, next(models.all()).partly) == (False, ())


def test_what_is_known_of_a_column() -> None:
    models, orders = read(ORDER), QualifiedName("orders")

    assert [models.maps_column(orders, "id"), models.maps_column(orders, "note")] == [True, False]


# -- which files -----------------------------------------------------------------------------------------------
APPLICATION = {
    "migrations/env.py": "from alembic import context\n"
    "from app import models\n"
    "target_metadata = models.Base.metadata\n",
    "app/__init__.py": "from app import settings\n",
    "app/settings.py": "",
    "app/unused.py": "",
    "app/models/__init__.py": "from .order import (\n    Order,  # the order\n)\nimport app.models.user\n",
    "app/models/order.py": "",
    "app/models/user.py": "",
}


def names(files: Sequence[Path]) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_what_env_imports_is_followed() -> None:
    found = followed(Code(Files(APPLICATION), [ROOT]), ROOT / "migrations/env.py")

    assert (names(found.files), found.gaps) == (
        APPLICATION.keys() - {"migrations/env.py", "app/unused.py"},
        (),
    )


def test_a_package_that_imports_by_name_is_taken_whole() -> None:
    package = "import pkgutil\nfor each in pkgutil.walk_packages(__path__): __import__(each.name)\n"
    found = followed(
        Code(Files({**APPLICATION, "app/models/__init__.py": package}), [ROOT]), ROOT / "migrations/env.py"
    )

    assert ("app/models/user.py" in names(found.files), found.gaps) == (True, ())


@pytest.mark.parametrize(
    "text", ["import importlib\nimportlib.import_module(name)\n", "target_metadata = None\n"]
)
def test_what_may_hide_models_is_a_gap(text: str) -> None:
    files = Files({**APPLICATION, "migrations/env.py": f"from app import models\n{text}"})

    assert len(followed(Code(files, [ROOT]), ROOT / "migrations/env.py").gaps) == 1


@pytest.mark.parametrize(
    "place", ["app/models", "app.models", "app/models/*.py", "app/**/models/*.py", "app/models/"]
)
def test_places_that_are_named(place: str) -> None:
    found = named(Code(Files(APPLICATION), [ROOT]), [place], ROOT)

    assert names(found.files) == {f"app/models/{name}.py" for name in ("__init__", "order", "user")}


def test_a_place_that_is_not_there_is_a_gap() -> None:
    assert len(named(Code(Files(APPLICATION), [ROOT]), ["app/modles"], ROOT).gaps) == 1
