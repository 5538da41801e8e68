"""What is captured, held against what `alembic upgrade head` does on a server: statements, transactions, catalog."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from support.alembic_project import sqlalchemy_url
from support.revision_files import Revisions

from evolve.sql.steps import CapturedStatement

# Logs, for each statement of a revision, whether it left a transaction open, and which.
LOGGING_ENV = """
import json, os
from alembic import context
from sqlalchemy import create_engine, event, pool

log = open(os.environ["STATEMENTS"], "w")
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)


@event.listens_for(engine, "after_cursor_execute")
def note(connection, cursor, statement, parameters, execution_context, many):
    if "alembic_version" in statement or "pg_catalog" in statement:
        return
    driver = connection.connection.driver_connection
    inside = driver.info.transaction_status.name == "INTRANS"
    number = driver.execute("SELECT pg_current_xact_id()::text").fetchone()[0] if inside else None
    log.write(json.dumps([" ".join(statement.split()), number]) + "\\n")
    log.flush()


%s
"""
RUN = """
with engine.connect() as connection:
    context.configure(connection=connection{settings})
    with context.begin_transaction():
        context.run_migrations()
"""
OUTER = """
with engine.begin() as connection:
    context.configure(connection=connection)
    context.run_migrations()
"""

CREATE = (
    "op.create_table('t{n}', sa.Column('id', sa.BigInteger, primary_key=True), sa.Column('a', sa.Text))\n"
)
INSERT = "op.execute(\"INSERT INTO t{n} (a) VALUES ('x')\")\n"
BLOCK = (
    "with op.get_context().autocommit_block():\n"
    "    op.create_index('i{n}', 't{n}', ['a'], postgresql_concurrently=True)\n"
    "    op.execute('ANALYZE t{n}')\n"
)


def _project(tmp_path: Path, url: str, run: str, upgrades: list[str]) -> Revisions:
    ini = f"sqlalchemy.url = {sqlalchemy_url(url).replace('%', '%%')}\n"
    revisions = Revisions(tmp_path / "project", env=LOGGING_ENV % run, ini=ini)
    for number, upgrade in enumerate(upgrades):
        revisions.add(f"r{number:02}", upgrade.replace("{n}", str(number)))
    return revisions


def _upgrade(revisions: Revisions) -> list[tuple[str, str | None]]:
    """Run Alembic itself; return its statements, each with the id of its transaction."""
    log = revisions.root / "statements.jsonl"
    url = revisions.project.database_url or ""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        # Made beforehand: a revision that rolls back would take it along.
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "heads"],
        cwd=revisions.root,
        env=dict(os.environ, STATEMENTS=str(log)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()]


def _statements(revisions: Revisions) -> list[CapturedStatement]:
    recordings = revisions.capture()
    assert [remark for recording in recordings for remark in recording.remarks] == []
    return [statement for recording in recordings for statement in recording.statements]


def _grouped(transactions: list[object]) -> list[int | None]:
    """Transactions numbered in the order they first appear, so that two accounts of them compare."""
    numbers: dict[object, int] = {}
    return [None if key is None else numbers.setdefault(key, len(numbers) + 1) for key in transactions]


# -- transactions -----------------------------------------------------------------------------------------
HISTORIES = {
    "plain": [CREATE, CREATE + INSERT, "pass", CREATE],
    "autocommit blocks": [CREATE, CREATE + INSERT + BLOCK + INSERT, CREATE, CREATE + BLOCK],
    "two blocks in a row": [CREATE + BLOCK + BLOCK.replace("i{n}", "j{n}") + INSERT, CREATE],
    "commits of the connection": [CREATE + "op.get_bind().commit()\n" + INSERT, CREATE],
    # In the first revision only: later ones would roll back what Alembic wrote of those before them.
    "a rollback of the connection": [CREATE + "op.get_bind().rollback()\n" + CREATE + INSERT, CREATE],
    "a switch to autocommit": [
        CREATE + "c = op.get_bind()\nc.commit()\nc.execution_options(isolation_level='AUTOCOMMIT')\n" + INSERT
    ],
    "savepoints": [
        CREATE + "with op.get_bind().begin_nested():\n    " + INSERT + INSERT,
        CREATE + "p = op.get_bind().begin_nested()\n" + INSERT + "p.rollback()\n" + INSERT,
    ],
    "commit as text": [CREATE + "op.execute('COMMIT')\n" + INSERT, CREATE],
    "rollback as text": [CREATE + "op.execute('ROLLBACK')\n" + CREATE + INSERT, CREATE],
    "sessions": [
        CREATE + "from sqlalchemy.orm import Session\ns = Session(op.get_bind())\n"
        "s.execute(sa.text(\"INSERT INTO t{n} (a) VALUES ('y')\"))\ns.commit()\n" + INSERT
    ],
}


@pytest.mark.parametrize("settings", ["", ", transaction_per_migration=True", ", transactional_ddl=False"])
@pytest.mark.parametrize("history", HISTORIES)
def test_transactions_are_those_of_the_server(
    tmp_path: Path, database_url: str, history: str, settings: str
) -> None:
    run = RUN.replace("{settings}", settings)
    revisions = _project(tmp_path, database_url, run, HISTORIES[history])

    predicted = _statements(revisions)
    seen = [(sql, number) for sql, number in _upgrade(revisions) if sql not in ("COMMIT", "ROLLBACK")]

    predicted = [statement for statement in predicted if statement.sql not in ("COMMIT", "ROLLBACK")]
    assert [statement.sql.split()[0] for statement in predicted] == [sql.split()[0] for sql, _ in seen]
    assert _grouped([statement.transaction for statement in predicted]) == _grouped(
        [number for _, number in seen]
    )


def test_a_transaction_that_env_py_opens_holds_everything(tmp_path: Path, database_url: str) -> None:
    revisions = _project(tmp_path, database_url, OUTER, [CREATE, CREATE + INSERT])

    predicted = _statements(revisions)

    assert _grouped([number for _, number in _upgrade(revisions)]) == _grouped(
        [statement.transaction for statement in predicted]
    )


def test_an_autocommit_block_inside_a_transaction_of_env_py_really_fails(
    tmp_path: Path, database_url: str
) -> None:
    revisions = _project(tmp_path, database_url, OUTER, [CREATE + BLOCK])

    with pytest.raises(AssertionError, match="AssertionError"):
        _upgrade(revisions)


# -- the catalog ------------------------------------------------------------------------------------------
RICH = [
    """
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("email", sa.String(200), nullable=False, unique=True),
        sa.Column("mood", sa.Enum("happy", "it's", name="mood"), server_default="happy"),
        sa.Column("tags", sa.ARRAY(sa.Text), server_default="{}"),
        sa.Column("profile", pg.JSONB, server_default=sa.text("'{\\"a\\": \\"50%\\"}'::jsonb")),
        sa.Column("created", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("score", sa.Numeric(8, 2), sa.CheckConstraint("score % 2 = 0", name="even")),
        sa.Column("key", sa.Uuid, server_default=sa.text("gen_random_uuid()")),
        sa.Column("total", sa.Integer, sa.Computed("length(email)", persisted=True)),
        sa.Column("during", pg.TSTZRANGE),
        comment="people who ask 'why %s?'",
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("note", sa.Text, server_default="it's 100%"),
    )
    """,
    """
    users = sa.table("users", sa.column("email", sa.String), sa.column("tags", pg.ARRAY(sa.Text)),
                     sa.column("mood", sa.Enum("happy", "it's", name="mood")),
                     sa.column("profile", pg.JSONB), sa.column("score", sa.Numeric),
                     sa.column("key", sa.Uuid), sa.column("during", pg.TSTZRANGE),
                     sa.column("created", sa.DateTime(timezone=True)))
    op.bulk_insert(users, [
        {"email": f"o'{n}%s@x\\\\y", "mood": "it's", "tags": ["a,b", 'c"d', "e'f"], "profile": {"n": [n, None, "q'"]},
         "score": decimal.Decimal("-2.00"), "key": uuid.UUID(int=n),
         "during": pg.Range(datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), None),
         "created": datetime.datetime(2024, 5, 6, 7, 8, 9, 1, tzinfo=datetime.timezone.utc)}
        for n in range(3)])
    op.get_bind().execute(sa.text("UPDATE users SET tags = :tags WHERE email LIKE '%s@%' AND score = :score"),
                          {"tags": ["new"], "score": -2})
    op.get_bind().exec_driver_sql("INSERT INTO orders (user_id, note) SELECT id, %s FROM users WHERE id = ANY(%s)",
                                  ("50% off", [1, 2]))
    """,
    """
    op.add_column("orders", sa.Column("status", sa.String(20), server_default="new", nullable=False))
    op.create_index("orders_status", "orders", ["user_id", sa.text("lower(status) DESC")], unique=False,
                    postgresql_where=sa.text("status <> 'done%'"), postgresql_include=["note"])
    with op.batch_alter_table("users") as batch:
        batch.alter_column("score", type_=sa.Numeric(10, 4), server_default="0")
        batch.alter_column("email", new_column_name="mail")
        batch.drop_column("during")
    op.create_check_constraint("short", "orders", "length(note) < 500")
    op.create_exclude_constraint("one_id", "orders", ("id", "="), using="btree")
    """,
    """
    op.execute("ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'")
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE mood ADD VALUE 'sad' BEFORE 'glad'")
        op.create_index("users_mood", "users", ["mood"], postgresql_concurrently=True)
    op.alter_column("users", "mood", server_default="sad")
    op.execute("CREATE VIEW happy AS SELECT id, mail FROM users WHERE mood <> 'sad'; COMMENT ON VIEW happy IS 'a;b'")
    op.execute('''CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN RETURN n * 2; -- 100%
        END $$''')
    op.execute("CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at)")
    for year in (2023, 2024):
        bound = f"FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        op.execute(f"CREATE TABLE events_{year} PARTITION OF events FOR VALUES {bound}")
    """,
    """
    from sqlalchemy.orm import Session, declarative_base
    Base = declarative_base()
    class Order(Base):
        __tablename__ = "orders"
        id = sa.Column(sa.Integer, primary_key=True)
        note = sa.Column(sa.Text)
    session = Session(op.get_bind())
    changed = sa.update(Order).where(Order.note.like("50%")).values(note=Order.note + " it's")
    session.execute(changed, execution_options={"synchronize_session": False})
    session.commit()
    op.rename_table("orders", "purchases")
    op.drop_constraint("even", "users")
    sa.Enum("x", name="unused").create(op.get_bind(), checkfirst=False)
    """,
]
RICH_HEAD = "import datetime, decimal, uuid\nfrom sqlalchemy.dialects import postgresql as pg"

# Everything that a person would call the schema, and every row; each as text that does not depend on object ids.
CATALOG: dict[str, str] = {
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "enums": """
        SELECT t.typname, array_agg(e.enumlabel ORDER BY e.enumsortorder)::text
        FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY 1 ORDER BY 1
    """,
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1
    """,
    "comments": """
        SELECT relname, obj_description(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1
    """,
    "bounds": """
        SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace ORDER BY 1
    """,
    "users": "SELECT id, mail, mood::text, tags, profile::text, score, key, total, created FROM users ORDER BY id",
    "purchases": "SELECT id, user_id, note, status FROM purchases ORDER BY id",
}


def _catalog(url: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS alembic_version")
        return {name: connection.execute(query).fetchall() for name, query in CATALOG.items()}


def _replay(url: str, statements: list[CapturedStatement]) -> None:
    """Send the captured texts as they are, in the transactions that were captured."""
    with psycopg.connect(url, autocommit=True) as connection:
        for index, statement in enumerate(statements):
            before = statements[index - 1].transaction if index else None
            if statement.transaction != before:
                if connection.info.transaction_status is TransactionStatus.INTRANS:
                    connection.execute("COMMIT")
                if statement.transaction is not None:
                    connection.execute("BEGIN")
            connection.execute(statement.sql.encode())
        if connection.info.transaction_status is TransactionStatus.INTRANS:
            connection.execute("COMMIT")


@pytest.mark.parametrize("settings", ["", ", transaction_per_migration=True"])
def test_the_captured_statements_make_the_same_database(
    tmp_path: Path, make_database: Callable[..., str], settings: str
) -> None:
    by_alembic, by_capture = make_database(), make_database()
    revisions = _project(tmp_path, by_alembic, RUN.replace("{settings}", settings), [])
    for number, upgrade in enumerate(RICH):
        revisions.add(f"r{number:02}", upgrade, head=RICH_HEAD)

    _replay(by_capture, _statements(revisions))
    _upgrade(revisions)

    assert _catalog(by_capture) == _catalog(by_alembic)


# -- literals ---------------------------------------------------------------------------------------------
VALUES = [
    "'plain'", "\"it's\"", r"'back\\slash'", "'100% %s %(a)s'", "'näïve ☃'", "'line\\nbreak'", "''",
    "0", "-1", "2**62", "-2**31", "1.5", "-1e-10", "1e300", "float('inf')", "float('nan')",
    "decimal.Decimal('-12345678901234567890.123456789')", "decimal.Decimal('1E+10')", "decimal.Decimal('NaN')",
    "True", "None", "b'\\x00\\xff\\''", "uuid.UUID(int=7)",
    "datetime.date(2024, 2, 29)", "datetime.time(1, 2, 3, 4)", "datetime.datetime(2024, 1, 2, 3, 4, 5, 6)",
    "datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=-3)))",
    "datetime.timedelta(days=-3, seconds=4, microseconds=5)",
    "[1, 2, None]", "['a', \"b'c\", 'd,e']", "[[1, 2], [3, 4]]",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_literal_is_what_the_driver_would_send(tmp_path: Path, database_url: str, value: str) -> None:
    import datetime
    import decimal
    import uuid

    python = eval(value, {"datetime": datetime, "decimal": decimal, "uuid": uuid})  # noqa: S307  # the tests' own
    recording = Revisions(tmp_path / "p").capture_one(
        f"op.get_bind().exec_driver_sql('SELECT %s', ({value},))", head="import datetime, decimal, uuid"
    )
    literal = recording.statements[0].sql

    with psycopg.connect(database_url) as connection:
        sent = connection.execute("SELECT %s", (python,)).fetchone()
        written = connection.execute(literal.encode()).fetchone()

    assert sent is not None
    assert written is not None
    # A number without a cast is numeric to the server, and float8 as psycopg sends it: the value is the claim.
    number = type(sent[0]) if isinstance(sent[0], float) else str
    assert str(number(written[0])) == str(number(sent[0]))
