"""Habits of other people's revisions that a reading must survive: each once kept one from being read to its end."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from support.revision_files import Revisions, marks, sql_of

from evolve.revisions.replayed_schema import ReplayedSchema
from evolve.sql.steps import Mark

ENDS = frozenset({Mark.RAISED, Mark.TIMED_OUT, Mark.NOT_LOADED})
LAST = "\nop.execute('SELECT 42')"


@pytest.mark.parametrize(
    ("head", "upgrade"),
    [
        pytest.param(
            "from shop import Status", "op.add_column('t', sa.Column('s', sa.Enum(Status)))", id="enum"
        ),
        pytest.param(
            "from shop import ONLINE",
            "op.add_column('t', sa.Column('s', sa.String, server_default=ONLINE))",
            id="server default",
        ),
        pytest.param(
            "from shop import IDColumn",
            "op.create_table('t', IDColumn(), sa.Column('b', sa.Text))",
            id="column made elsewhere",
        ),
        pytest.param("from shop import tables", "op.execute(tables.insert().values(a=1))", id="statement"),
        pytest.param("from shop import Order", "sa.select(Order).where(Order.id == 1)", id="model in select"),
        pytest.param(
            "from shop import Order\nfrom sqlalchemy.orm import Session",
            "for order in Session(op.get_bind()).query(Order).filter_by(paid=True): order.paid = False",
            id="model in a session",
        ),
        pytest.param(
            "from shop import db\nclass Rate(db.Model):\n    id = 1",
            "op.execute(Rate.__table__.delete())",
            id="base",
        ),
        pytest.param(
            "from shop import SCHEMA\nrates = sa.Table('r', sa.MetaData(), sa.Column('i', sa.Text), schema=SCHEMA)",
            "op.bulk_insert(rates, [{'i': 'a'}])",
            id="schema of a table",
        ),
        pytest.param("from shop import pair", "first, second = pair()", id="unpacking"),
        pytest.param("from shop import *", "op.execute(update_all(ORDERS))", id="star import"),
        pytest.param(
            "import pytz, datetime",
            "op.get_bind().execute(sa.text('SELECT :a'), {'a': datetime.datetime(2020, 1, 1, tzinfo=pytz.utc)})",
            id="time zone",
        ),
        pytest.param("from shop import engine", "sa.inspect(engine).get_table_names()", id="engine"),
        pytest.param(
            "import os\nENV = os.environ['SHOP_NO_SUCH']", "if ENV == 'live': pass", id="environment"
        ),
        pytest.param("", "op.get_context().opts['shop_profile'].backup()", id="option of env.py"),
        pytest.param("", "sa.Column('a', sa.Binary())", id="old name"),
        pytest.param("", "sa.orm.Session(bind=op.get_bind())", id="module nobody imported"),
        pytest.param(
            "from sqlalchemy.dialects import mysql",
            "op.add_column('t', sa.Column('a', mysql.MEDIUMBLOB()))",
            id="type of another dialect",
        ),
        pytest.param("", "op.add_column('t', sa.Column('a', sa.Enum('x', 'y')))", id="enum without a name"),
        pytest.param(
            "from shop import Rate\nfrom sqlalchemy.orm import sessionmaker",
            "session = sessionmaker()(bind=op.get_bind())\nsession.add(Rate(percent=7))\nsession.commit()",
            id="model added to a session",
        ),
        pytest.param(
            "from shop import Rate\nfrom sqlalchemy.orm import Session",
            "if not Session(op.get_bind()).query(Rate).filter(Rate.percent == 7).first(): raise LookupError",
            id="row of a model that must be there",
        ),
        pytest.param(
            "from shop import Rate\nfrom sqlalchemy.orm import Session",
            "for rate in Session(op.get_bind()).scalars(sa.select(Rate)): rate.percent = 7",
            id="model in scalars",
        ),
        pytest.param(
            "from shop import Order",
            "Order.query.filter(Order._paid == True).first()",
            id="private attribute of a model",
        ),
        pytest.param(
            "from shop import rounding\nNAME = rounding.half_up.__code__.co_varnames[0]",
            "import json\nop.add_column('t', sa.Column('r', sa.JSON, server_default=json.dumps({NAME: 1})))",
            id="name of a parameter",
        ),
        pytest.param(
            "import json\nfrom shop import RATES",
            "op.add_column('t', sa.Column('r', sa.JSON, server_default=json.dumps({'all': [RATES]})))",
            id="JSON of what is missing",
        ),
        pytest.param(
            "import dataclasses, json\nfrom shop import Rate\nRATE = json.dumps(dataclasses.asdict(Rate(7)))",
            "op.execute(f'SELECT {RATE}')",
            id="dataclass",
        ),
        pytest.param(
            "from shop import summary", "op.execute(summary.compile(dialect=None).string)", id="compiled"
        ),
        pytest.param(
            "import logging\nfrom shop import app\nhandler = logging.FileHandler(app.config.get('LOG'))",
            "handler.setLevel(app.config.get('LEVEL'))\nlogging.getLogger('x').addHandler(handler)",
            id="log file",
        ),
        pytest.param(
            "from shop import Keyed\nfrom sqlalchemy.orm import declarative_base\n"
            "class Rate(declarative_base(), Keyed):\n"
            "    __tablename__ = 'rates'\n    percent = sa.Column(sa.Integer)",
            "op.execute(sa.update(Rate).values(percent=7))",
            id="primary key of a missing base",
        ),
        pytest.param(
            "from sqlalchemy import engine_from_config",
            "engine_from_config({'sqlalchemy.echo': 'false'}, prefix='sqlalchemy.').connect()",
            id="engine whose URL env.py sets",
        ),
        pytest.param(
            "from rich.progress import track",
            "for row in track(op.get_bind().execute(sa.text('SELECT 1')).fetchall(), 'rows', total=1): pass",
            id="progress bar",
        ),
        pytest.param(
            "from psycopg import sql",
            "text = sql.SQL('SELECT {}').format(sql.Identifier('a b')).as_string(op.get_bind())\n"
            "op.get_bind().exec_driver_sql(text)",
            id="composed for a connection",
        ),
        pytest.param(
            "a, b = sa.table('a', sa.column('i')), sa.table('b', sa.column('i'))",
            "op.get_bind().execute(a.join(b, a.c.i == b.c.i).select(a.c.i == 1))",
            id="condition of a joined select",
        ),
        pytest.param(
            "",
            "for name in ('i', 'v'):\n    op.get_bind().execute('SELECT v, i FROM t').next()[name]",
            id="row by name",
        ),
        pytest.param(
            "",
            "assert sa.inspect(op.get_bind()).get_columns('elsewhere') == []",
            id="table of another history",
        ),
    ],
)
def test_it_is_read_to_its_end(revisions: Revisions, head: str, upgrade: str) -> None:
    recording = revisions.capture_one(upgrade + LAST, head=head)

    assert not marks(recording) & ENDS
    assert sql_of(recording)[-1] == "SELECT 42"


@pytest.mark.parametrize(
    "upgrade",
    [
        "version = op.get_bind().execute(sa.text('SELECT v FROM t')).fetchone()[0] + 1",
        "name = op.get_bind().execute(sa.text('SELECT name FROM t')).first().name.lower()",
        "assert op.get_bind().scalar(sa.text('SELECT v FROM t')) is not None",
        "one = op.get_bind().execute(sa.text('SELECT v FROM t')).scalar_one()",
        "for _ in range(3):\n    op.get_bind().execute(sa.text('SELECT v FROM t')).fetchone()[0]",
    ],
)
def test_where_an_empty_database_fails_there_is_a_row(revisions: Revisions, upgrade: str) -> None:
    recording = revisions.capture_one(upgrade + LAST)

    assert marks(recording) == {Mark.READ_ROWS}
    assert sql_of(recording)[-1] == "SELECT 42"


def test_no_row_is_made_up_where_an_empty_database_will_do(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "for row in op.get_bind().execute(sa.text('SELECT v FROM t')):\n    op.drop_table('t')"
    )

    assert sql_of(recording) == ["SELECT v FROM t"]


def test_one_that_fails_with_rows_too_keeps_what_was_read_first(revisions: Revisions) -> None:
    recording = revisions.capture_one("op.get_bind().scalar(sa.text('SELECT v FROM t'))\nraise ValueError")

    assert sql_of(recording) == ["SELECT v FROM t"]
    assert Mark.RAISED in marks(recording)


def test_a_second_reading_starts_from_the_schema_of_the_first(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        if not sa.inspect(op.get_bind()).has_table("t"):
            op.execute("CREATE TABLE t (v int)")
        op.get_bind().execute(sa.text("SELECT v FROM t")).fetchone()[0]
        """,
        reflect=ReplayedSchema(),
    )

    assert sql_of(recording) == ["CREATE TABLE t (v int)", "SELECT v FROM t"]


def test_an_application_that_needs_more_than_its_source_is_done_without(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p", ini="prepend_sys_path = .\n")
    (revisions.root / "shopapp.py").write_text("def session():\n    raise SystemExit('no configuration')\n")

    recording = revisions.capture_one(
        "with session() as s: s.run()" + LAST, head="from shopapp import session"
    )

    assert marks(recording) == {Mark.TOUCHED_STUB}
    assert sql_of(recording) == ["SELECT 42"]


def test_upgrade_for_each_of_several_databases(revisions: Revisions) -> None:
    revisions.write(
        "a.py",
        "from alembic import op\nrevision = 'a'\ndown_revision = None\n"
        "def upgrade(engine_name):\n    globals()['upgrade_%s' % engine_name]()\n"
        "def upgrade_orders():\n    op.execute('SELECT 1')\n"
        "def upgrade_reports():\n    op.execute('SELECT 2')\n",
    )

    assert sql_of(revisions.capture()[0]) == ["SELECT 1", "SELECT 2"]


def test_a_transaction_of_env_py_that_the_revision_ends_itself(tmp_path: Path) -> None:
    env = (
        "with engine.connect() as connection:\n"
        "    connection.execute(text('SET lock_timeout = 1'))\n"
        "    context.configure(connection=connection)\n"
        "    context.run_migrations()\n"
    )

    recording = Revisions(tmp_path / "p", env=env).capture_one(
        "op.get_bind().commit()\n"
        "with op.get_context().autocommit_block():\n"
        "    op.execute('VACUUM t')"
    )  # fmt: skip

    assert marks(recording) == set()
    assert [statement.transaction for statement in recording.statements] == [None]


def test_a_branch_label_that_another_module_holds_costs_its_name_only(revisions: Revisions) -> None:
    revisions.write(
        "a.py",
        "from shop import EXPAND\nrevision = 'a'\ndown_revision = None\nbranch_labels = ('v1', EXPAND)\n",
    )

    assert revisions.history.revisions["a"].branch_labels == ("v1",)


def test_a_table_that_another_history_makes_may_be_asked_for(revisions: Revisions) -> None:
    upgrade = (
        "if not any(c['name'] == 'a' for c in sa.inspect(op.get_bind()).get_columns('elsewhere')):\n"
        "    op.add_column('elsewhere', sa.Column('a', sa.Text))"
    )

    recording = revisions.capture_one(upgrade, reflect=ReplayedSchema())

    assert marks(recording) == {Mark.READ_CATALOG}
    assert sql_of(recording) == ["ALTER TABLE elsewhere ADD COLUMN a TEXT"]


def test_a_type_that_env_py_gives_to_sqlalchemy(tmp_path: Path) -> None:
    env = "import sqlalchemy as sa\nfrom shop.types import Money, Enum\nsa.Money = Money\nsa.Enum = Enum\n"
    revisions = Revisions(tmp_path / "p", env=env)
    enum = sa.Enum

    recording = revisions.capture_one(
        "op.add_column('t', sa.Column('a', sa.Money(), nullable=False))\n"
        "op.add_column('t', sa.Column('b', sa.Enum()))"
    )

    assert sql_of(recording) == [
        "ALTER TABLE t ADD COLUMN a TEXT NOT NULL",
        "ALTER TABLE t ADD COLUMN b TEXT",
    ]
    assert not hasattr(sa, "Money")
    assert sa.Enum is enum


def test_a_column_whose_package_makes_an_index_has_its_type_and_tells_of_the_package(
    revisions: Revisions,
) -> None:
    recording = revisions.capture_one(
        "op.add_column('t', sa.Column('a', geoalchemy2.types.Geometry('POINT', 4326)))",
        head="import geoalchemy2",
    )

    assert sql_of(recording) == ["ALTER TABLE t ADD COLUMN a geometry(POINT,4326)"]
    assert marks(recording) == {Mark.TOUCHED_STUB}


def test_dependencies_that_are_made_up_step_by_step_cost_those_of_a_condition_only(
    revisions: Revisions,
) -> None:
    revisions.add("a")
    revisions.write(
        "b.py",
        "from shop import has_stock\nneeded = ['a']\nif has_stock():\n    needed.append('stock')\n"
        "revision = 'b'\ndown_revision = None\ndepends_on = tuple(needed)\ndef upgrade(): pass\n",
    )

    assert revisions.history.revisions["b"].depends_on == ("a",)


def test_modules_of_the_application_that_import_each_other(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p", ini="prepend_sys_path = .\n")
    shop = revisions.root / "shop"
    shop.mkdir()
    (shop / "settings.py").write_text("from shop.log import log\nRATES = [7, 19]\nsettings = object()\n")
    (shop / "log.py").write_text("from shop.settings import settings\nlog = str(settings)\n")

    recording = revisions.capture_one(
        "for rate in RATES: op.execute(f'SELECT {rate}')", head="from shop.settings import RATES"
    )

    assert sql_of(recording) == ["SELECT 7", "SELECT 19"]
