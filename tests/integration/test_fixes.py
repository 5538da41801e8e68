"""What `evolve lint --fix` writes, run by Alembic on a server: the schema is the one that would have been made."""

from __future__ import annotations

import ast
from contextlib import chdir
from pathlib import Path

import pytest
from alembic import command
from support.fix_cases import CASES, SETUP, Case
from support.servers import MakeDatabase

from evolve.app.fix_revisions import mend_revisions, write
from evolve.app.lint_revisions import Options, ask
from evolve.lint.fixes import FIXES
from evolve.lint.fixes.mending import Mending
from evolve.lint.fixes.site import flat
from evolve.lint.rules import ALL
from evolve.postgres.connect import connect
from evolve.revisions.models import Releases
from evolve.revisions.project import find_project
from evolve.revisions.run import alembic_config
from evolve.testing.page_facts import facts_of
from evolve.testing.rule_pages import SETUP as SHOP
from evolve.testing.rule_pages import Example, examples, write_project

pytestmark = pytest.mark.server

ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
# Each thing that a revision can leave behind, as the server itself writes it down.
SCHEMA = """
SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull::text,
    coalesce(pg_get_expr(adbin, adrelid), '') || attidentity::text || attgenerated::text
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped
    AND (SELECT relkind FROM pg_class WHERE oid = attrelid) IN ('r', 'p', 'm', 'v')
    AND (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = attrelid) IN ('public', 'other')
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text,
    conindid::regclass::text
  FROM pg_constraint WHERE conrelid >= 16384
UNION ALL
SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid::text,
    indisready::text
  FROM pg_index WHERE indrelid >= 16384
    AND (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = indrelid) IN ('public', 'other')
UNION ALL
SELECT 'enum', enumtypid::regtype::text, enumlabel, '', '', '' FROM pg_enum
UNION ALL
SELECT 'partition', inhrelid::regclass::text, inhparent::regclass::text, inhdetachpending::text, '', '' FROM pg_inherits
ORDER BY 1, 2, 3
"""
# Those fail as they are, so that there is nothing to compare with.
FAILING = ("EV205", "EV601", "EV602", "EV623")
PAGES = [
    example
    for rule in ALL
    for example in examples(rule)
    if not example.safe
    and rule.id in FIXES
    and not {mark.rule for mark in example.marked}.isdisjoint(FIXES)
    and "(downgrade)" not in example.heading
]
Rows = list[tuple[str, ...]]


def upgrade(directory: Path, url: str) -> Rows:
    """Apply a project's revisions with Alembic; the schema that is there then."""
    (directory / "migrations" / "env.py").write_text(ENVIRONMENT, encoding="utf-8")
    config = alembic_config(find_project(directory), url)
    config.set_main_option("path_separator", "os")
    with chdir(directory):
        command.upgrade(config, "heads")
    with connect(url, autocommit=True) as connection:
        return [tuple(map(str, row)) for row in connection.execute(SCHEMA.encode()).fetchall()]


def mended(directory: Path, example: Example) -> Mending:
    project = write_project(directory, example)
    options = Options(time_limit=5.0, enable=(example.rule.id,), facts=facts_of(example.rule.page))
    question = ask(project, files=sorted((directory / "migrations" / "versions").glob("block*.py")))
    return mend_revisions(project, question, options, ALL, releases=Releases())


def example_of(case: Case) -> Example:
    return Example(ALL[0], "", (SHOP, SETUP), (case.before,), frozenset())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_mended_revision_makes_the_same_schema(
    case: Case, tmp_path: Path, make_database: MakeDatabase
) -> None:
    write(mended(tmp_path / "new", example_of(case)))
    made = upgrade(tmp_path / "new", make_database())
    if case.rules.isdisjoint(FAILING):
        write_project(tmp_path / "old", example_of(case))

        assert made == upgrade(tmp_path / "old", make_database())


@pytest.mark.parametrize("case", [case for case in CASES if "IF EXISTS" in case.after], ids=str)
def test_a_mended_revision_can_be_run_again_where_its_last_statement_failed(
    case: Case, tmp_path: Path, make_database: MakeDatabase
) -> None:
    if "VALIDATE" in case.after:
        pytest.skip("what a VALIDATE fails on is rows, which somebody has to look at")
    write(mended(tmp_path, example_of(case)))
    file = tmp_path / "migrations" / "versions" / "block0.py"
    whole = file.read_text(encoding="utf-8")
    (function,) = (node for node in ast.parse(whole).body if getattr(node, "name", "") == "upgrade")
    assert isinstance(function, ast.FunctionDef)
    last = list(flat(function.body))[-1]
    lines = whole.splitlines(keepends=True)
    indentation = lines[last.lineno - 1][: last.col_offset]
    lines.insert(last.lineno - 1, f"{indentation}raise RuntimeError('cut')\n")
    file.write_text("".join(lines), encoding="utf-8")
    url = make_database()
    with pytest.raises(RuntimeError, match="cut"):
        upgrade(tmp_path, url)
    file.write_text(whole, encoding="utf-8")

    assert upgrade(tmp_path, url) == upgrade(tmp_path, make_database())


@pytest.mark.parametrize("example", PAGES, ids=str)
def test_an_example_of_a_page_makes_the_same_schema(
    example: Example, tmp_path: Path, make_database: MakeDatabase
) -> None:
    mending = mended(tmp_path / "new", example)
    if not mending.mended:
        assert all(each.reason for each in mending.left)
        return
    write(mending)
    made = upgrade(tmp_path / "new", make_database())
    if example.rule.id not in FAILING:
        write_project(tmp_path / "old", example)

        assert made == upgrade(tmp_path / "old", make_database())
