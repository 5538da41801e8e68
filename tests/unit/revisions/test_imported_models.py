"""Which imports of a revision bind it to models, and which only to what stands beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.revisions.imported_models import imported_models

MODELS = """
from .types import Money

class Base(DeclarativeBase):
    pass

class Colour(Enum):
    RED = "red"

class User(
    Named,
    Base,
):
    colour = Column(Money)

class Shop(
    Named,
):
    __tablename__ = "shops"

orders = sa.Table("orders", metadata)
LIMIT = 5
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "from .models import Shop, Colour\nfrom .types import *\nclass Base(DeclarativeBase): ...\n",
        "models.py": MODELS,
        "types.py": "class Money(TypeDecorator):\n    impl = Numeric\n",
    }
    (tmp_path / "app").mkdir()
    for name, text in files.items():
        (tmp_path / "app" / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import app.models", ["app.models"]),
        ("from app import models", ["app.models"]),
        ("from app.models import User", ["app.models"]),
        ("from app.models import Shop as Place", ["app.models"]),
        ("from app.models import (\n    Colour,  # a type\n    orders,\n)", ["app.models"]),
        ("from app.models import *", ["app.models"]),
        ("from app.models import Base", ["app.models"]),
        ("def upgrade():\n    from app import Shop", ["app"]),
        ("from app import types", []),
        ("from app.types import Money", []),
        ("from app import Colour, Money", []),
        ("from app.models import Colour, LIMIT, Money", []),
        ("from app.models import Nothing", []),
        ("from elsewhere import User\nimport elsewhere", []),
    ],
)
def test_models_are_told_from_what_stands_beside_them(app: Path, source: str, modules: list[str]) -> None:
    assert [module for _, module in imported_models(source, (app,))] == modules
