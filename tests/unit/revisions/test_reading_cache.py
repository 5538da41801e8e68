"""A reading through the cache is the reading without it, whatever changed in between; and what is known is not read."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from support.histories import Generator
from support.revision_files import Revisions

from evolve.revisions.apart import _Parent
from evolve.revisions.cache import fingerprint
from evolve.revisions.cache.chain import Chain
from evolve.revisions.cache.closed import is_closed
from evolve.revisions.cache.codec import decode_schema, encode_schema
from evolve.revisions.cache.declared import read_history_through
from evolve.revisions.cache.store import Store, cache_directory
from evolve.revisions.history import RevisionFile
from evolve.revisions.memory import After, OwnModules
from evolve.revisions.project import Project
from evolve.revisions.read import Reading, record_from
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording

CREATE = "op.create_table('{name}', sa.Column('id', sa.BigInteger(), primary_key=True))"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the revisions that were really read."""
    seen: list[str] = []
    original = Chain.learn

    def noted(self: Chain, file: RevisionFile, recording: Recording, after: After, own: OwnModules) -> None:
        seen.append(file.revision)
        original(self, file, recording, after, own)

    monkeypatch.setattr(Chain, "learn", noted)
    return seen


def ordered(revisions: Revisions) -> tuple[Project, tuple[RevisionFile, ...]]:
    history = revisions.history
    return revisions.project, history.order(history.ancestors(history.heads))


def through(directory: Path, revisions: Revisions, first: int = 0) -> Reading:
    store = Store(directory)
    try:
        return record_from(*ordered(revisions), first, store=store)
    finally:
        store.close()


def anew(revisions: Revisions, first: int = 0) -> Reading:
    return record_from(*ordered(revisions), first)


def hold(directory: Path, revisions: Revisions) -> None:
    """Every question that can be asked has the answer that it has without the cache, the first time and later."""
    count = len(ordered(revisions)[1])
    for first in sorted({0, count // 2, count}):
        expected = anew(revisions, first)
        assert through(directory, revisions, first) == expected
        assert through(directory, revisions, first) == expected


def history(revisions: Revisions) -> None:
    revisions.add("a", CREATE.format(name="users"))
    revisions.add("b", "op.add_column('users', sa.Column('email', sa.Text()))")
    revisions.add("c", "op.create_index('by_email', 'users', ['email'])")


# -- what is read ------------------------------------------------------------------------------------------------
def test_what_is_known_is_not_read(revisions: Revisions, directory: Path, read: list[str]) -> None:
    history(revisions)
    through(directory, revisions)
    read.clear()

    through(directory, revisions)

    assert read == []


def test_of_a_history_with_a_new_revision_only_that_is_read(
    revisions: Revisions, directory: Path, read: list[str]
) -> None:
    history(revisions)
    through(directory, revisions)
    revisions.add("d", "op.drop_index('by_email')")
    read.clear()

    found = through(directory, revisions, 3)

    assert read == ["d"]
    assert found == anew(revisions, 3)


def test_an_open_revision_is_read_each_time_and_those_around_it_are_not(
    revisions: Revisions, directory: Path, read: list[str]
) -> None:
    revisions.add("a", CREATE.format(name="users"))
    revisions.add(
        "b",
        "op.bulk_insert(sa.table('users', sa.column('id')), [{'id': time.time_ns()}])",
        head="import time",
    )
    revisions.add("c", "op.add_column('users', sa.Column('email', sa.Text()))")
    through(directory, revisions)
    read.clear()

    through(directory, revisions)

    assert read == ["b"]


def test_an_empty_cache_is_asked_for_no_reading(
    revisions: Revisions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question would hold up the process that reads."""
    history(revisions)
    asked: list[str] = []

    def noted(_: Chain, file: RevisionFile) -> None:
        asked.append(file.revision)

    monkeypatch.setattr(Chain, "recall", noted)
    processes: list[object] = []
    run_once = _Parent.run_once

    def counted(self: _Parent) -> None:
        processes.append(self)
        run_once(self)

    monkeypatch.setattr(_Parent, "run_once", counted)

    through(directory, revisions)
    # Where the first process was given up, the next one finds what that has learned; where a thread of another test is
    # still there, this process reads itself.
    assert asked == [] or len(processes) != 1
    asked.clear()
    revisions.add("d", "op.drop_index('by_email')")
    through(directory, revisions, 3)
    assert set(asked) == {"d"}


def test_a_process_that_ends_while_the_cache_is_empty(revisions: Revisions, directory: Path) -> None:
    history(revisions)
    revisions.add("d", "os._exit(3)", head="import os")
    revisions.add("e", "op.drop_index('by_email')")
    hold(directory, revisions)


def test_what_looks_into_the_schema_sees_the_kept_one(revisions: Revisions, directory: Path) -> None:
    history(revisions)
    through(directory, revisions, 3)
    revisions.add(
        "d",
        """
        for column in sa.inspect(op.get_bind()).get_columns("users"):
            op.execute(f"COMMENT ON COLUMN users.{column['name']} IS 'known'")
        """,
    )
    hold(directory, revisions)
    assert len(through(directory, revisions, 3).recordings[0].statements) == 2


@pytest.mark.parametrize("settings", ["", "transaction_per_migration=True"])
def test_transactions_go_on_where_they_were(tmp_path: Path, settings: str, directory: Path) -> None:
    revisions = Revisions(tmp_path / "project", settings=settings)
    bodies = [
        CREATE.format(name="users"),
        "pass",
        "with op.get_context().autocommit_block():\n    op.execute('REINDEX TABLE CONCURRENTLY users')",
        "pass",
        "op.execute('COMMIT')\nop.execute('VACUUM users')",
        "op.execute('SELECT 1')\nraise RuntimeError",
        "op.execute('SELECT 2')",
        "op.get_bind().commit()\nop.execute('SELECT 3')",
        "op.execute('SELECT 4')",
    ]
    for number, body in enumerate(bodies):
        revisions.add(f"r{number}", body)
        hold(directory, revisions)


# -- what changes ------------------------------------------------------------------------------------------------
def edit_an_old_revision(revisions: Revisions) -> None:
    file = revisions.versions / "b.py"
    file.write_text(file.read_text().replace("email", "mail"))


def put_one_in_between(revisions: Revisions) -> None:
    revisions.add("between", "op.add_column('users', sa.Column('age', sa.Integer()))", after="a")
    file = revisions.versions / "b.py"
    file.write_text(file.read_text().replace("down_revision = 'a'", "down_revision = 'between'"))


def branch_and_merge(revisions: Revisions) -> None:
    revisions.add("side", CREATE.format(name="pets"), after="a")
    revisions.add("merge", "pass", after=("c", "side"))


def move_the_file(revisions: Revisions) -> None:
    (revisions.versions / "a.py").rename(revisions.versions / "z.py")


def change_env(revisions: Revisions) -> None:
    env = revisions.root / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace(
            "connection=connection", "connection=connection, transaction_per_migration=True"
        )
    )


def change_ini(revisions: Revisions) -> None:
    ini = revisions.root / "alembic.ini"
    ini.write_text(ini.read_text() + "sqlalchemy.url = postgresql+psycopg2:///x\n")


@pytest.mark.parametrize(
    "change",
    [edit_an_old_revision, put_one_in_between, branch_and_merge, move_the_file, change_env, change_ini],
)
def test_a_change_of_the_project_is_seen(
    revisions: Revisions, directory: Path, change: Callable[[Revisions], None]
) -> None:
    history(revisions)
    hold(directory, revisions)
    before = through(directory, revisions)
    change(revisions)

    assert anew(revisions) != before or change is change_ini
    hold(directory, revisions)


# -- what a revision may depend on ---------------------------------------------------------------------------------
DEPENDENT = {
    "module beside the revisions": ("from shared import NAME", "op.execute(f'SELECT {NAME}')"),
    "module of the application": ("from app.models import NAME", "op.execute(f'SELECT {NAME}')"),
    "module through another": ("from app.deeper import NAME", "op.execute(f'SELECT {NAME}')"),
    "file": ("from pathlib import Path", "op.execute(Path('statement.sql').read_text())"),
    "file by open": ("", "op.execute(open('statement.sql').read())"),
    "environment variable": ("import os", "op.execute('SELECT ' + os.environ['SOMETHING'])"),
    "whether a file is there": ("import os", "op.execute(f'SELECT {os.path.exists(\"maybe\")}')"),
    "whether a module is there": (
        "try:\n    import maybe_there as found\nexcept ImportError:\n    found = None",
        "op.execute(f'SELECT {bool(found) and found.NAME}')",
    ),
}


@pytest.mark.parametrize(("head", "body"), DEPENDENT.values(), ids=DEPENDENT)
def test_what_a_revision_depends_on_is_seen_to_change(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, head: str, body: str
) -> None:
    revisions = Revisions(tmp_path / "project", ini="prepend_sys_path = .\n")
    app = revisions.root / "app"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "deeper.py").write_text("from app.models import NAME\n")

    def write(value: str) -> None:
        monkeypatch.setenv("SOMETHING", value)
        (revisions.versions / "shared.py").write_text(f"NAME = {value!r}\n")
        (app / "models.py").write_text(f"NAME = {value!r}\n")
        (revisions.root / "statement.sql").write_text(f"SELECT {value}")
        if value == "two":
            (revisions.root / "maybe").touch()
            (revisions.root / "maybe_there.py").write_text("NAME = 'here'\n")

    history(revisions)
    revisions.add("d", body, head=head)
    revisions.add("e", "op.drop_index('by_email')")
    write("one")
    hold(directory, revisions)
    before = through(directory, revisions)
    write("two")

    assert anew(revisions) != before
    hold(directory, revisions)


def test_what_an_open_revision_leaves_behind_is_seen_by_those_after_it(
    tmp_path: Path, directory: Path
) -> None:
    revisions = Revisions(tmp_path / "project", ini="prepend_sys_path = .\n")
    helper = revisions.root / "helper.py"
    source = (
        "from alembic.operations import MigrateOperation, Operations\n"
        "@Operations.register_operation('greet')\n"
        "class Greet(MigrateOperation):\n"
        "    @classmethod\n"
        "    def greet(cls, operations):\n"
        "        return operations.invoke(cls())\n"
        "@Operations.implementation_for(Greet)\n"
        "def greet(operations, operation):\n"
        "    operations.execute('SELECT 1')\n"
    )
    helper.write_text(source)
    revisions.add("a", head="import helper")
    revisions.add("b", "op.greet()")
    hold(directory, revisions)
    helper.write_text(source.replace("SELECT 1", "SELECT 2"))

    hold(directory, revisions)

    assert "SELECT 2" in through(directory, revisions).recordings[1].statements[0].sql


CLOSED = [
    "from alembic import op\nimport sqlalchemy as sa\ndef upgrade():\n    op.drop_column('t', 'c')",
    "import sqlalchemy as sa\nsa.Column('at', sa.DateTime(), server_default=sa.func.now())",
    "from sqlalchemy.dialects import postgresql\npostgresql.JSONB(astext_type=1)",
    "from sqlalchemy import func\nfunc.now()",
    "import datetime, uuid\ndatetime.date(2020, 1, 1), uuid.UUID(int=1)",
    "class T:\n    def __init__(self):\n        self.x = 1",
    "x = {}\nx['a'] = 1\nx.update(b=2)",
]
OPEN = [
    "import os",
    "import time",
    "from app import models",
    "from . import shared",
    "import sqlalchemy.orm",
    "from sqlalchemy import orm",
    "from sqlalchemy import *",
    "from sqlalchemy.ext.compiler import compiles",
    "import sqlalchemy as sa\nsa.event.listen(1, 2, 3)",
    "import sqlalchemy as sa\nsa.Column.x = 1",
    "import sqlalchemy as sa\nsa.types.things['a'] = 1",
    "import sqlalchemy as sa\nsa.sql.words.add('x')",
    "import sqlalchemy as sa\ndel sa.Column.name",
    "from datetime import datetime\ndatetime.now()",
    "from datetime import datetime as d\nd.utcnow",
    "from uuid import uuid4",
    "import uuid\nuuid.uuid4()",
    "open('x')",
    "getattr(1, 'x')",
    "__import__('os')",
    "().__class__",
    "from alembic import op\nop.get_context().opts",
    "from alembic import op\nop.get_bind().execution_options(a=1)",
    "from alembic.operations import Operations",
    "def broken(:",
    "\x00",
]


@pytest.mark.parametrize("source", CLOSED)
def test_closed(source: str) -> None:
    assert is_closed(source.encode())


@pytest.mark.parametrize("source", OPEN)
def test_open(source: str) -> None:
    assert not is_closed(source.encode())


# -- what is not in the project --------------------------------------------------------------------------------------
def printed(revisions: Revisions, directory: Path, time_limit: float = 10.0) -> bytes | None:
    store = Store(directory)
    try:
        return fingerprint.fingerprint(revisions.project, time_limit, store)
    finally:
        store.flush()
        store.close()


def test_another_time_limit_is_another_question(revisions: Revisions, directory: Path) -> None:
    assert printed(revisions, directory) != printed(revisions, directory, 1.0)


def test_another_python_is_another_question(
    revisions: Revisions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = printed(revisions, directory)
    monkeypatch.setattr(sys, "version", "3.99")
    assert printed(revisions, directory) != before


def test_another_code_of_evolve_or_of_a_library_is_another_question(
    revisions: Revisions, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "library" / "fake_library"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(fingerprint, "_LIBRARIES", ("fake_library",))
    monkeypatch.setattr(fingerprint, "_OWN", (str(package / "own.py"),))
    (package / "own.py").write_text("")
    before = printed(revisions, directory)
    assert printed(revisions, directory) == before

    (package / "__init__.py").write_text("x = 2\n")
    library = printed(revisions, directory)
    (package / "own.py").write_text("pass")

    assert len({before, library, printed(revisions, directory)}) == 3


def test_what_is_installed_is_part_of_the_question(
    revisions: Revisions, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = printed(revisions, directory)
    (tmp_path / "plugin-1.0.dist-info").mkdir()
    assert printed(revisions, directory) != before


# -- the file ----------------------------------------------------------------------------------------------------------
def file_of(directory: Path) -> Path:
    (file,) = directory.glob("*.sqlite3")
    return file


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_file_cut_short_is_no_harm(revisions: Revisions, directory: Path, part: float) -> None:
    history(revisions)
    through(directory, revisions, 2)
    content = file_of(directory).read_bytes()
    file_of(directory).write_bytes(content[: int(len(content) * part)])

    hold(directory, revisions)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_no_harm(revisions: Revisions, directory: Path, seed: int) -> None:
    history(revisions)
    through(directory, revisions, 2)
    dice = random.Random(seed)
    content = bytearray(file_of(directory).read_bytes())
    for _ in range(40):
        content[dice.randrange(len(content))] = dice.randrange(256)
    file_of(directory).write_bytes(content)

    hold(directory, revisions)


def test_a_file_of_something_else_makes_room(revisions: Revisions, directory: Path, read: list[str]) -> None:
    history(revisions)
    directory.mkdir()
    (directory / "readings-1.sqlite3").write_text("this is no database" * 100)
    through(directory, revisions)
    through(directory, revisions)
    read.clear()

    through(directory, revisions)

    assert read == []


def test_without_a_place_to_write_it_is_only_slower(revisions: Revisions, tmp_path: Path) -> None:
    history(revisions)
    (tmp_path / "file").touch()
    hold(tmp_path / "file" / "cache", revisions)


def test_while_another_process_holds_the_file_it_is_only_slower(
    revisions: Revisions, directory: Path
) -> None:
    history(revisions)
    through(directory, revisions)
    store = Store(directory)
    assert store._connection is not None
    store._connection.execute("BEGIN EXCLUSIVE")
    try:
        assert through(directory, revisions, 2) == anew(revisions, 2)
    finally:
        store._connection.execute("ROLLBACK")
        store.close()


def test_processes_that_write_at_once_agree(revisions: Revisions, directory: Path) -> None:
    history(revisions)
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "from evolve.revisions.cache.store import Store\n"
        "from evolve.revisions.history import read_history\n"
        "from evolve.revisions.project import find_project\n"
        "from evolve.revisions.read import record_from\n"
        f"project = find_project(Path({str(revisions.root)!r}))\n"
        "history = read_history(project)\n"
        f"reading = record_from(project, history.order(history.revisions), 2, store=Store(Path({str(directory)!r})))\n"
        "print(reading.recordings)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    answers = [process.communicate()[0] for process in processes]

    assert answers == [f"{anew(revisions, 2).recordings}\n"] * 4
    hold(directory, revisions)


def test_the_longest_unused_go_where_it_gets_too_much(directory: Path) -> None:
    store = Store(directory, most_bytes=20_000)
    for number in range(100):
        store.put(str(number).encode(), "recording", random.Random(number).randbytes(1000))
        store.flush()
    kept = [number for number in range(100) if store.get(str(number).encode()) is not None]
    store.close()
    assert 10 <= len(kept) <= 20
    assert kept == list(range(100 - len(kept), 100))


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory({}) == tmp_path / ".cache" / "evolve"
    assert cache_directory({"XDG_CACHE_HOME": "/var/x"}) == Path("/var/x/evolve")
    assert cache_directory({"XDG_CACHE_HOME": "not/absolute"}) == tmp_path / ".cache" / "evolve"
    assert cache_directory({"EVOLVE_CACHE_DIR": "/own", "XDG_CACHE_HOME": "/var/x"}) == Path("/own")


# -- what files declare --------------------------------------------------------------------------------------------
def test_what_files_declare_is_the_same_from_the_cache(revisions: Revisions, directory: Path) -> None:
    history(revisions)
    revisions.add(
        "d", after=("c",), branch_labels=("side",), depends_on="a", evolve={"change": "x", "phase": 1}
    )
    revisions.write("abc123.py", "down_revision = 'd'\ndef upgrade(): pass\n")
    revisions.write("shared.py", "x = 1\n")
    for _ in range(3):
        store = Store(directory)
        found = read_history_through(revisions.project, store)
        store.close()
        expected = revisions.history
        assert found == expected
        assert [f.digest for f in found.revisions.values()] == [f.digest for f in expected.revisions.values()]
    (revisions.versions / "abc123.py").rename(revisions.versions / "def456.py")
    edit_an_old_revision(revisions)
    assert read_history_through(revisions.project, Store(directory)) == revisions.history


# -- values ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(8))
def test_a_schema_comes_back_as_it_was(seed: int) -> None:
    dice = random.Random(seed)
    schema = Schema()
    generator = Generator(lambda options: options[dice.randrange(len(options))], schema)
    statements = [generator.next() or "SELECT 1"]
    for _ in range(60):
        for sql in statements:
            for operation in parse(sql):
                apply(schema, operation)
        statements = [generator.next() or "SELECT 1"]
    for operation in parse("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM users; SELECT 1'"):
        apply(schema, operation)

    found = decode_schema(encode_schema(schema))

    assert plain(found) == plain(schema)


def plain(schema: Schema) -> dict[str, object]:
    """Everything in it, what does not count for its equality too."""
    named = {
        name: [asdict(value) for value in getattr(schema, name).values()]
        for name in ("tables", "indexes", "enums", "domains", "views", "sequences")
    }
    return {**named, "rest": (schema.schemas, schema.functions, schema.publishing)}
