"""What is captured of revisions: statements, their lines, and marks for what cannot be seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.revision_files import Revisions, marks, sql_of

from evolve.revisions.replayed_schema import ReplayedSchema
from evolve.sql.steps import Mark, Place


def _lines(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


# -- what is sent ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        (
            "op.add_column('t', sa.Column('c', sa.Integer(), nullable=False))",
            ["ALTER TABLE t ADD COLUMN c INTEGER NOT NULL"],
        ),
        ("op.execute('DROP TABLE t;')", ["DROP TABLE t"]),
        (
            "op.execute(sa.text('UPDATE t SET a = :a').bindparams(a=\"it's\"))",
            ["UPDATE t SET a = 'it''s'::VARCHAR"],
        ),
        ("op.execute(sa.update(sa.table('t', sa.column('a'))).values(a=5))", ["UPDATE t SET a=5"]),
        (
            "op.execute(\"UPDATE t SET a = 'x' WHERE b LIKE '%y'\")",
            ["UPDATE t SET a = 'x' WHERE b LIKE '%y'"],
        ),
        ("op.get_bind().execute(sa.text('UPDATE t SET a = 1'))", ["UPDATE t SET a = 1"]),
        ("op.get_bind().exec_driver_sql('UPDATE t SET a = %s', (1,))", ["UPDATE t SET a = 1"]),
        ("op.get_bind().exec_driver_sql('UPDATE t SET a = %(a)s', {'a': None})", ["UPDATE t SET a = NULL"]),
        (
            "op.bulk_insert(sa.table('t', sa.column('a', sa.String)), [{'a': 'x'}, {'a': 'y'}])",
            ["INSERT INTO t (a) VALUES ('x'::VARCHAR)", "INSERT INTO t (a) VALUES ('y'::VARCHAR)"],
        ),
        (
            "op.create_table('t', sa.Column('m', sa.Enum('a', name='mood')))",
            ["CREATE TYPE mood AS ENUM ('a')", "CREATE TABLE t ( m mood )"],
        ),
        ("sa.Enum('a', name='mood').drop(op.get_bind(), checkfirst=True)", ["DROP TYPE mood"]),
        (
            "op.alter_column('t', 'a', server_default='50%')",
            ["ALTER TABLE t ALTER COLUMN a SET DEFAULT '50%'"],
        ),
        ("with op.batch_alter_table('t') as b:\n    b.drop_column('a')", ["ALTER TABLE t DROP COLUMN a"]),
        ("op.create_index('i', 't', [sa.text('lower(a)')])", ["CREATE INDEX i ON t (lower(a))"]),
        ("op.create_unique_constraint(op.f('u'), 't', ['a'])", ["ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)"]),
        (
            "for n in ('a', 'b'):\n    op.drop_column('t', n)",
            ["ALTER TABLE t DROP COLUMN a", "ALTER TABLE t DROP COLUMN b"],
        ),
        ("op.get_context().execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("op.get_context().impl.execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("op.get_bind().connection.cursor().execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("op.run_async(lambda c: c.execute(sa.text('DROP TABLE t')))", ["DROP TABLE t"]),
        (
            "if op.get_context().dialect.name == 'postgresql':\n    op.execute('DROP TABLE t')",
            ["DROP TABLE t"],
        ),
        ("op.execute(sa.schema.CreateSequence(sa.Sequence('s')))", ["CREATE SEQUENCE s"]),
        ("sa.MetaData().create_all(op.get_bind())", []),
    ],
)
def test_statements(revisions: Revisions, upgrade: str, expected: list[str]) -> None:
    assert sql_of(revisions.capture_one(upgrade)) == expected


def test_values_of_every_type_become_literals(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        table = sa.table("t", sa.column("j", pg.JSONB), sa.column("a", pg.ARRAY(sa.Text)), sa.column("u", sa.Uuid),
                         sa.column("b", sa.LargeBinary), sa.column("r", pg.INT4RANGE), sa.column("m", sa.Enum(Mood)),
                         sa.column("h", pg.HSTORE), sa.column("d", sa.Numeric(5, 2)))
        op.execute(table.insert().values(
            j={"k": "it's"}, a=["x"], u=uuid.UUID(int=1), b=b"\\0", r=pg.Range(1, 2), m=Mood.LOW, h={"k": "v"}, d=1))
        """,
        head="import enum, uuid\nfrom sqlalchemy.dialects import postgresql as pg\nMood = enum.Enum('Mood', 'LOW')",
    )

    assert sql_of(recording) == [
        "INSERT INTO t (j, a, u, b, r, m, h, d) VALUES ('{\"k\": \"it''s\"}'::JSONB, '{x}'::TEXT[], "
        "'00000000-0000-0000-0000-000000000001'::uuid::UUID, '\\x00'::bytea, '[\"1\",\"2\")'::INT4RANGE, "
        "'LOW', '\"k\"=>\"v\"', 1)"
    ]


def test_operations_imported_by_name(revisions: Revisions) -> None:
    recording = revisions.capture_one("drop_column('t', 'a')", head="from alembic.op import drop_column")

    assert sql_of(recording) == ["ALTER TABLE t DROP COLUMN a"]


def test_sessions_of_the_orm(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        session = Session(bind=op.get_bind())
        session.add(User(name="x"))
        session.commit()
        session.query(User).filter(User.name == "y").update({"name": "z"})
        """,
        head="""
        from sqlalchemy.orm import Session, declarative_base
        Base = declarative_base()
        class User(Base):
            __tablename__ = "users"
            id = sa.Column(sa.Integer, primary_key=True)
            name = sa.Column(sa.String)
        """,
    )

    assert sql_of(recording) == [
        "INSERT INTO users (name) VALUES ('x'::VARCHAR) RETURNING users.id",
        "UPDATE users SET name='z'::VARCHAR WHERE users.name = 'y'::VARCHAR",
    ]


def test_rows_that_an_insert_returns_have_keys_of_their_own(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        table = sa.table("t", sa.column("id", sa.Integer), sa.column("a", sa.Text))
        keys = op.get_bind().execute(table.insert().returning(table.c.id), [{"a": "x"}, {"a": "y"}]).scalars().all()
        op.execute(f"INSERT INTO u VALUES {tuple(keys)}")
        """
    )

    assert sql_of(recording) == [
        "INSERT INTO t (a) VALUES ('x'::VARCHAR) RETURNING t.id",
        "INSERT INTO t (a) VALUES ('y'::VARCHAR) RETURNING t.id",
        "INSERT INTO u VALUES (1, 2)",
    ]
    assert marks(recording) == {Mark.READ_ROWS}


def test_arguments_that_env_py_would_pass(revisions: Revisions) -> None:
    path = revisions.add("a")
    path.write_text(
        path.read_text().replace(
            "def upgrade():\n    pass", "def upgrade(op, tables):\n    op.drop_table('t')"
        )
    )

    recordings = revisions.capture()

    assert sql_of(recordings[0]) == ["DROP TABLE t"]


def test_the_context_that_env_py_would_make(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        assert not context.is_offline_mode()
        assert context.get_x_argument() == []
        assert context.config.get_main_option("script_location").endswith("migrations")
        context.get_context().bind.execute(sa.text("DROP TABLE t"))
        """,
        head="from alembic import context",
    )

    assert (sql_of(recording), recording.remarks) == (["DROP TABLE t"], ())


def test_modules_beside_the_revisions(revisions: Revisions) -> None:
    revisions.write("shared_ops.py", "from alembic import op\ndef drop(name):\n    op.drop_table(name)\n")

    recording = revisions.capture_one("shared_ops.drop('t')", head="import shared_ops")

    assert (sql_of(recording), recording.remarks) == (["DROP TABLE t"], ())


def test_the_application_where_the_project_lets_it_be_imported(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p", ini="prepend_sys_path = src\n")
    (revisions.root / "src" / "shopapp").mkdir(parents=True)
    (revisions.root / "src" / "shopapp" / "__init__.py").write_text("")
    (revisions.root / "src" / "shopapp" / "names.py").write_text("TABLE = 'orders'\n")

    recording = revisions.capture_one("op.drop_table(names.TABLE)", head="from shopapp import names")

    assert (sql_of(recording), recording.remarks) == (["DROP TABLE orders"], ())


def test_operations_that_a_project_registers(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "op.create_view('v')",
        head="""
        from alembic.operations import MigrateOperation, Operations
        @Operations.register_operation("create_view")
        class CreateView(MigrateOperation):
            def __init__(self, name): self.name = name
            @classmethod
            def create_view(cls, operations, name): return operations.invoke(cls(name))
        @Operations.implementation_for(CreateView)
        def create_view(operations, operation):
            operations.execute(f"CREATE VIEW {operation.name} AS SELECT 1")
        """,
    )

    assert (sql_of(recording), recording.remarks) == (["CREATE VIEW v AS SELECT 1"], ())


def test_files_are_read_from_where_alembic_is_run(revisions: Revisions) -> None:
    (revisions.root / "seed.sql").write_text("DROP TABLE t")

    assert sql_of(revisions.capture_one("op.execute(open('seed.sql').read())")) == ["DROP TABLE t"]


def test_copy(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        cursor = op.get_bind().connection.cursor()
        cursor.copy_from(None, "t", columns=("a",))
        with cursor.copy("COPY u FROM STDIN") as copy:
            copy.write_row((1,))
        """
    )

    assert sql_of(recording) == ['COPY "t" ("a") FROM STDIN', "COPY u FROM STDIN"]


def test_metadata_and_ids_come_along(revisions: Revisions) -> None:
    revisions.add("a", evolve={"change": "rename", "phase": "expand"})
    revisions.add("b")

    first, second = revisions.capture()

    assert (first.revision, first.down_revisions, first.metadata) == (
        "a",
        (),
        (("change", "rename"), ("phase", "expand")),
    )
    assert (second.revision, second.down_revisions, second.file) == ("b", ("a",), revisions.versions / "b.py")


def test_downgrades(revisions: Revisions) -> None:
    from evolve.revisions.capture import capture

    revisions.add("a")

    recordings = capture(revisions.project, [revisions.history.revisions["a"]], direction="downgrade")

    assert sql_of(recordings[0]) == ["DROP TABLE a"]


# -- places ---------------------------------------------------------------------------------------------
def test_each_statement_has_its_line(revisions: Revisions) -> None:
    path = revisions.add(
        "a",
        """
        op.drop_table(
            "first"
        )
        drop("second")
        with op.batch_alter_table("t") as batch:
            batch.drop_column("third")
            batch.drop_column("fourth")
        """,
        head="def drop(name):\n    op.drop_table(name)  # inside",
    )

    statements = revisions.capture()[0].statements

    expected = [_lines(path, text) for text in ("op.drop_table(", "# inside", '"third"', '"fourth"')]
    expected[0] = _lines(path, '"first"') - 1
    assert [statement.place for statement in statements] == [Place(path, line) for line in expected]


# -- SQLAlchemy 1.x -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ("op.get_bind().execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("op.get_bind().execute('UPDATE t SET a = %s, b = %s', 1, 2)", ["UPDATE t SET a = 1, b = 2"]),
        ("op.get_bind().execute('UPDATE t SET a = %(a)s', a=1)", ["UPDATE t SET a = 1"]),
        ("op.get_bind().execute(sa.text('UPDATE t SET a = :a'), a=1)", ["UPDATE t SET a = 1"]),
        (
            "op.get_bind().execute(sa.select([sa.column('a')], sa.column('b') == 1))",
            ["SELECT a WHERE b = 1::INTEGER"],
        ),
        ("op.get_bind().execute(sa.select([sa.column('a')]).limit(1))", ["SELECT a LIMIT 1::INTEGER"]),
        (
            "op.execute(sa.table('t', sa.column('a')).update(sa.column('b') == 1, values={'a': 2}))",
            ["UPDATE t SET a=2 WHERE b = 1::INTEGER"],
        ),
        (
            "op.execute(sa.table('t', sa.column('a')).delete(sa.column('a') == 1))",
            ["DELETE FROM t WHERE a = 1::INTEGER"],
        ),
        ("op.execute(sa.table('t', sa.column('a')).insert({'a': 2}))", ["INSERT INTO t (a) VALUES (2)"]),
        (
            "op.execute(sa.table('t', sa.column('a')).update().values(a=sa.case([(sa.column('b') == 1, 2)], else_=3)))",
            ["UPDATE t SET a=CASE WHEN (b = 1::INTEGER) THEN 2::INTEGER ELSE 3::INTEGER END"],
        ),
        ("Session(bind=op.get_bind(), autocommit=True).execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("op.get_bind().connect().execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("op.get_bind().engine.execute('DROP TABLE t')", ["DROP TABLE t"]),
        ("with op.get_bind().begin():\n    op.execute('DROP TABLE t')", ["DROP TABLE t"]),
        (
            "sa.Table('t', sa.MetaData(bind=op.get_bind()), sa.Column('a', sa.Text)).metadata.create_all()",
            ["CREATE TABLE t ( a TEXT )"],
        ),
        ("op.get_bind().run_callable(lambda c: c.execute('DROP TABLE t'))", ["DROP TABLE t"]),
        (
            "Inspector.from_engine(op.get_bind()).get_table_names()\nop.execute('DROP TABLE t')",
            ["DROP TABLE t"],
        ),
    ],
)
def test_idioms_of_sqlalchemy_1(revisions: Revisions, upgrade: str, expected: list[str]) -> None:
    head = "from sqlalchemy.orm import Session\nfrom sqlalchemy.engine.reflection import Inspector"

    recording = revisions.capture_one(upgrade, head=head)

    assert (sql_of(recording), Mark.RAISED in marks(recording)) == (expected, False)


# -- what cannot be seen --------------------------------------------------------------------------------
def test_what_is_read_in_full_has_no_remarks(revisions: Revisions) -> None:
    assert revisions.capture_one("op.drop_table('t')").remarks == ()


@pytest.mark.parametrize(
    "upgrade",
    [
        "for row in op.get_bind().execute(sa.text('SELECT id FROM t')): op.drop_table('x')",
        "op.get_bind().execute(sa.text('SELECT count(*) FROM t')).scalar()",
        "op.get_bind().execute(sa.text('UPDATE t SET a = 1')).rowcount",
        "op.get_bind().execute(sa.text('INSERT INTO t VALUES (1) RETURNING id')).scalar_one()",
        "Session(bind=op.get_bind()).execute(sa.text('SELECT 1 FROM t')).first()",
        "op.get_bind().connection.cursor().execute('SELECT a FROM t').fetchall()",
    ],
)
def test_reading_rows_is_marked(revisions: Revisions, upgrade: str) -> None:
    recording = revisions.capture_one(upgrade, head="from sqlalchemy.orm import Session")

    assert Mark.READ_ROWS in marks(recording)


def test_a_query_whose_rows_nobody_looks_at_is_not_marked(revisions: Revisions) -> None:
    recording = revisions.capture_one("op.execute(\"SELECT setval('s', 5)\")")

    assert (sql_of(recording), recording.remarks) == (["SELECT setval('s', 5)"], ())


@pytest.mark.parametrize(
    "upgrade",
    [
        "sa.inspect(op.get_bind()).has_table('t')",
        "sa.inspect(op.get_bind()).get_columns('t')",
        "sa.inspect(op.get_bind()).get_enums()",
        "op.get_bind().dialect.has_table(op.get_bind(), 't')",
        "op.get_bind().execute(sa.text(\"SELECT 1 FROM pg_type WHERE typname = 'm'\")).first()",
        "sa.Enum('a', name='m').create(op.get_bind(), checkfirst=True)",
    ],
)
def test_reading_the_catalog_is_marked(revisions: Revisions, upgrade: str) -> None:
    assert marks(revisions.capture_one(upgrade)) == {Mark.READ_CATALOG}


def test_a_stub_is_marked_where_it_is_used(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "op.add_column('t', sa.Column('a', missing_lib.types.Fancy()))", head="import missing_lib.types"
    )

    assert sql_of(recording) == ["ALTER TABLE t ADD COLUMN a TEXT"]
    assert [(remark.mark, remark.detail) for remark in recording.remarks] == [
        (Mark.TOUCHED_STUB, "missing_lib.types.Fancy")
    ]


@pytest.mark.parametrize(
    "upgrade",
    [
        "op.bulk_insert(models.kinds, [{'name': 'x'}])",
        "op.execute(models.statement())",
        "op.get_bind().execute(models.users.select()).fetchall()",
        "while models.queue.size() > 0: models.queue.pop()",
        "for model in models.Base.__subclasses__(): op.drop_table(model.__tablename__)\nbool(models.x)",
        "models.User.__table__.create(op.get_bind())",
        "sum(models.numbers) + int(models.count) + len(str(models.text))",
    ],
)
def test_what_follows_the_use_of_a_stub_is_seen(revisions: Revisions, upgrade: str) -> None:
    recording = revisions.capture_one(
        f"{upgrade}\nop.drop_table('t')", head="from shopapp_missing import models"
    )

    assert sql_of(recording)[-1:] == ["DROP TABLE t"]
    assert marks(recording) & {Mark.TOUCHED_STUB, Mark.RAISED} == {Mark.TOUCHED_STUB}


def test_a_stub_that_upgrade_never_uses_is_not_marked(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "op.drop_table('t')", head="from missing_lib import thing\nX = thing(1) or 2"
    )

    assert recording.remarks == ()


def test_a_guard_of_a_missing_module_hides_nothing(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "if guard.already_done(): return\nop.drop_table('t')", head="from missing_lib import guard"
    )

    assert (sql_of(recording), marks(recording)) == (["DROP TABLE t"], {Mark.TOUCHED_STUB})


@pytest.mark.parametrize(
    ("head", "made", "column"),
    [
        ("import sqlmodel", "sqlmodel.sql.sqltypes.AutoString(length=50)", "VARCHAR(50)"),
        ("import sqlmodel.sql.sqltypes", "sqlmodel.sql.sqltypes.AutoString()", "VARCHAR"),
        ("from sqlalchemy_utils import UUIDType", "UUIDType(binary=False)", "UUID"),
        ("import sqlalchemy_utils", "sqlalchemy_utils.types.email.EmailType()", "VARCHAR(255)"),
        ("from pgvector.sqlalchemy import Vector", "Vector(3)", "VECTOR(3)"),
        (
            "import geoalchemy2",
            "geoalchemy2.types.Geometry('POINT', 4326, spatial_index=False)",
            "geometry(POINT,4326)",
        ),
        ("from fastapi_users_db_sqlalchemy.generics import GUID", "GUID()", "UUID"),
    ],
)
def test_types_of_well_known_packages(revisions: Revisions, head: str, made: str, column: str) -> None:
    recording = revisions.capture_one(f"op.add_column('t', sa.Column('a', {made}))", head=head)

    assert (sql_of(recording), recording.remarks) == ([f"ALTER TABLE t ADD COLUMN a {column}"], ())


def test_an_application_that_fails_halfway_becomes_a_stub(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p", ini="prepend_sys_path = .\n")
    (revisions.root / "shopapp.py").write_text("NAME = 't'\nraise KeyError('DATABASE_URL')\nFLAG = True\n")

    recording = revisions.capture_one(
        "op.drop_table(shopapp.NAME)\nif shopapp.FLAG: op.drop_table('u')", head="import shopapp"
    )

    assert sql_of(recording) == ["DROP TABLE t"]
    details = [remark.detail for remark in recording.remarks if remark.mark is Mark.TOUCHED_STUB]
    assert details == ["shopapp.FLAG (shopapp could not be loaded: KeyError: 'DATABASE_URL')"]


@pytest.mark.parametrize(
    ("upgrade", "detail"),
    [
        ("op.create_hypertable('t', by='day')", "op.create_hypertable('t', by='day')"),
        ("with op.batch_alter_table('t') as b:\n    b.compress()", "batch_op.compress()"),
        ("compress_it('t')", "op.compress_it('t')"),
    ],
)
def test_unknown_operations_are_marked(revisions: Revisions, upgrade: str, detail: str) -> None:
    head = "from alembic.op import compress_it" if upgrade.startswith("compress_it") else ""

    recording = revisions.capture_one(f"{upgrade}\nop.drop_table('t')", head=head)

    assert [(remark.mark, remark.detail) for remark in recording.remarks] == [
        (Mark.UNKNOWN_OPERATION, detail)
    ]
    assert sql_of(recording) == ["DROP TABLE t"]


@pytest.mark.parametrize(
    ("action", "made", "expected"),
    [
        (
            "create",
            "PGFunction(schema='public', signature='f(a int)', definition='RETURNS int AS $$ SELECT 1 $$')",
            ["CREATE FUNCTION public.f(a int) RETURNS int AS $$ SELECT 1 $$"],
        ),
        ("drop", "PGFunction('public', 'f(a int DEFAULT 1)', '')", ["DROP FUNCTION public.f(a int)"]),
        ("replace", "PGView('public', 'v', 'SELECT 1')", ["CREATE OR REPLACE VIEW public.v AS SELECT 1"]),
        (
            "create",
            "PGMaterializedView('public', 'v', 'SELECT 1;', with_data=False)",
            ["CREATE MATERIALIZED VIEW public.v AS SELECT 1 WITH NO DATA"],
        ),
        (
            "replace",
            "PGTrigger('public', 'g', 'AFTER INSERT ON t EXECUTE FUNCTION f()', 'public.t')",
            [
                "DROP TRIGGER IF EXISTS g ON public.t",
                "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()",
            ],
        ),
        ("create", "PGExtension('public', 'citext')", ['CREATE EXTENSION "citext" WITH SCHEMA public']),
    ],
)
def test_entities_of_alembic_utils(revisions: Revisions, action: str, made: str, expected: list[str]) -> None:
    name = made.partition("(")[0]
    module = {"PGFunction": "pg_function", "PGView": "pg_view", "PGTrigger": "pg_trigger"}.get(
        name, "pg_other"
    )

    recording = revisions.capture_one(
        f"op.{action}_entity({made})", head=f"from alembic_utils.{module} import {name}"
    )

    assert (sql_of(recording), recording.remarks) == (expected, ())


def test_an_entity_that_is_not_known_is_marked(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "op.create_entity(PGGrantTable(schema='public'))",
        head="from alembic_utils.pg_grant_table import PGGrantTable",
    )

    assert Mark.UNKNOWN_OPERATION in marks(recording)


def test_sync_enum_values(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        """
        op.sync_enum_values(
            enum_schema="public", enum_name="mood", new_values=["a", "c"],
            affected_columns=[TableReference(table_schema="public", table_name="t", column_name="m",
                                             existing_server_default="'b'::mood")],
            enum_values_to_rename=[("b", "c")])
        """,
        head="from alembic_postgresql_enum import TableReference",
    )

    assert recording.remarks == ()
    assert sql_of(recording) == [
        'ALTER TYPE "public"."mood" RENAME TO "mood_old"',
        "CREATE TYPE \"public\".\"mood\" AS ENUM ('a', 'c')",
        'ALTER TABLE "public"."t" ALTER COLUMN "m" DROP DEFAULT',
        'ALTER TABLE "public"."t" ALTER COLUMN "m" TYPE "public"."mood" USING CASE WHEN "m"::text = \'b\' '
        'THEN \'c\'::"public"."mood" ELSE "m"::text::"public"."mood" END',
        'ALTER TABLE "public"."t" ALTER COLUMN "m" SET DEFAULT \'c\'::mood',
        'DROP TYPE "public"."mood_old"',
    ]


def test_what_ran_before_an_error_is_kept(revisions: Revisions) -> None:
    path = revisions.add("a", "op.drop_table('t')\nraise RuntimeError('no way')\n")
    revisions.add("b", "op.drop_table('u')")

    first, second = revisions.capture()

    assert sql_of(first) == ["DROP TABLE t"]
    assert [(remark.mark, remark.place.line, remark.detail) for remark in first.remarks] == [
        (Mark.RAISED, _lines(path, "no way"), "RuntimeError: no way")
    ]
    assert (sql_of(second), second.remarks) == (["DROP TABLE u"], ())


@pytest.mark.parametrize(
    "upgrade",
    [
        "raise SystemExit(1)",
        "import sys; sys.exit()",
        "1 / 0",
        "op.get_bind().execute(sa.select(1)).one()[5]",
    ],
)
def test_errors_of_every_kind_are_remarks(revisions: Revisions, upgrade: str) -> None:
    assert Mark.RAISED in marks(revisions.capture_one(upgrade))


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from sqlalchemy import no_such_thing", "ImportError: cannot import name 'no_such_thing'"),
    ],
)
def test_files_that_do_not_load(revisions: Revisions, head: str, detail: str) -> None:
    recording = revisions.capture_one("op.drop_table('t')", head=head)

    assert [remark.mark for remark in recording.remarks] == [Mark.NOT_LOADED]
    assert recording.remarks[0].detail.startswith(detail)
    assert recording.remarks[0].place.line == _lines(recording.file, head)


def test_a_file_that_does_not_compile(revisions: Revisions) -> None:
    recording = revisions.capture_one("return (")

    assert [remark.mark for remark in recording.remarks] == [Mark.NOT_LOADED]


def test_a_file_without_upgrade(revisions: Revisions) -> None:
    revisions.write("a.py", "revision = 'a'\ndown_revision = None\n")

    assert marks(revisions.capture()[0]) == {Mark.NOT_LOADED}


def test_operations_behind_a_branch_not_taken_are_named(revisions: Revisions) -> None:
    path = revisions.add(
        "a",
        """
        if False:
            op.drop_table("hidden")
            helper()
        with op.batch_alter_table("t") as batch:
            if not True:
                batch.drop_column("deep")
        op.drop_table(
            "seen"
        )
        """,
        head="def helper():\n    op.drop_table('behind')\ndef never_called():\n    op.drop_table('far')",
    )

    remarks = revisions.capture()[0].remarks

    assert [(remark.mark, remark.place.line, remark.detail) for remark in remarks] == [
        (Mark.UNREACHED, _lines(path, "behind"), "op.drop_table"),
        (Mark.UNREACHED, _lines(path, "hidden"), "op.drop_table"),
        (Mark.UNREACHED, _lines(path, "deep"), "batch.drop_column"),
    ]


def test_an_operation_that_sends_nothing_was_reached(revisions: Revisions) -> None:
    recording = revisions.capture_one("op.alter_column('t', 'a', existing_type=sa.Text())")

    assert (recording.statements, recording.remarks) == ((), ())


# -- a schema that answers ------------------------------------------------------------------------------
def test_the_replayed_schema_answers_the_inspector(revisions: Revisions) -> None:
    revisions.add(
        "a",
        """
        op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Numeric(8, 2)),
                        sa.Column("m", sa.Enum("x", "y", name="mood"), nullable=False, unique=True),
                        sa.Column("w", sa.DateTime(timezone=True), server_default=sa.func.now()),
                        sa.Column("tags", sa.ARRAY(sa.String(5))),
                        sa.Column("up", sa.Integer, sa.ForeignKey("t.id")),
                        sa.CheckConstraint("n > 0", name="positive"))
        op.create_index("i", "t", ["n"])
        """,
    )
    revisions.add(
        "b",
        """
        known = sa.inspect(op.get_bind())
        assert known.has_table("t") and not known.has_table("u")
        columns = {column["name"]: column for column in known.get_columns("t")}
        assert isinstance(columns["n"]["type"], sa.Numeric) and columns["n"]["type"].precision == 8
        assert columns["m"]["type"].enums == ["x", "y"] and not columns["m"]["nullable"]
        assert columns["w"]["type"].timezone and "now()" in columns["w"]["default"].lower()
        assert columns["tags"]["type"].item_type.length == 5
        assert known.get_pk_constraint("t")["constrained_columns"] == ["id"]
        assert [index["name"] for index in known.get_indexes("t") if not index["unique"]] == ["i"]
        assert known.get_foreign_keys("t")[0]["referred_columns"] == ["id"]
        assert [key["column_names"] for key in known.get_unique_constraints("t")] == [["m"]]
        assert known.get_check_constraints("t")[0]["name"] == "positive"
        table = sa.Table("t", sa.MetaData(), autoload_with=op.get_bind())
        op.execute(table.update().values(n=1))
        sa.Enum("x", name="mood").drop(op.get_bind(), checkfirst=True)
        sa.Enum("x", name="other").drop(op.get_bind(), checkfirst=True)
        """,
    )

    recording = revisions.capture(reflect=ReplayedSchema())[1]

    assert (sql_of(recording), marks(recording)) == (
        ["UPDATE t SET n=1", "DROP TYPE mood"],
        {Mark.READ_CATALOG},
    )


def test_a_table_that_nobody_knows_cannot_be_loaded(revisions: Revisions) -> None:
    recording = revisions.capture_one(
        "sa.Table('nobody', sa.MetaData(), autoload_with=op.get_bind())", reflect=ReplayedSchema()
    )

    assert marks(recording) == {Mark.READ_CATALOG, Mark.RAISED}


def test_an_async_project_needs_nothing_special(tmp_path: Path) -> None:
    env = """
import asyncio
from alembic import context
from sqlalchemy.ext.asyncio import async_engine_from_config

def do_run_migrations(connection):
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()

async def run():
    async with async_engine_from_config({}).connect() as connection:
        await connection.run_sync(do_run_migrations)

asyncio.run(run())
"""
    revisions = Revisions(tmp_path / "p", env=env, ini="sqlalchemy.url = postgresql+asyncpg://h/d\n")
    revisions.add("a", "op.drop_table('t')")
    revisions.add("b", "op.run_async(rename)", head=ASYNC_FUNCTION)

    first, second = revisions.capture()

    statements = [
        (statement.sql, statement.transaction) for statement in (*first.statements, *second.statements)
    ]
    assert statements == [("DROP TABLE t", 1), ("ALTER TABLE t RENAME TO u", 2), ("SELECT 1", 2)]


ASYNC_FUNCTION = """
async def rename(connection):
    await connection.execute(sa.text("ALTER TABLE t RENAME TO u"))
    await connection.run_sync(lambda sync: sync.execute(sa.text("SELECT 1")))
"""
