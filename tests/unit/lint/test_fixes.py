"""What `evolve lint --fix` makes of revisions, as text: nothing is run on a server here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fix_cases import CASES, SETUP, Case

from evolve.app.fix_revisions import ChangedMeanwhile, mend_revisions, mend_scripts, write
from evolve.app.lint_revisions import Options, ask
from evolve.lint.fixes import Edit, Fix, apply, available, touch
from evolve.lint.fixes.mending import Mended, Mending, decode
from evolve.lint.fixes.source import Source
from evolve.lint.model import Finding, Severity
from evolve.lint.rules import ALL, DEFAULT
from evolve.sql.steps import Place
from evolve.testing.rule_pages import SETUP as SHOP
from evolve.testing.rule_pages import Example, write_project

HEADER = """\
from alembic import op
import sqlalchemy as sa

revision = 'block0'
down_revision = 'setup1'
"""


def mended(directory: Path, body: str, *, downgrades: bool = False) -> Mending:
    example = Example(ALL[0], "", (SHOP, SETUP), (body,), frozenset())
    project = write_project(directory, example)
    question = ask(project, revisions="block0")
    return mend_revisions(project, question, Options(time_limit=5.0, downgrades=downgrades), DEFAULT)


def after(mending: Mending) -> str:
    """The text of the one file that is changed, without its head."""
    (file,) = mending.mended
    return decode(file.after).removeprefix(HEADER)


def reasons(mending: Mending) -> list[str]:
    return [each.reason for each in mending.left]


@pytest.fixture(scope="module", params=CASES, ids=str)
def mending_of_case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, Mending]:
    case: Case = request.param
    return case, mended(tmp_path_factory.mktemp("case"), case.before)


def test_a_revision_is_mended(mending_of_case: tuple[Case, Mending]) -> None:
    case, mending = mending_of_case

    assert after(mending) == case.after


def test_what_was_mended_is_not_found_again(mending_of_case: tuple[Case, Mending]) -> None:
    case, mending = mending_of_case

    assert case.rules.isdisjoint(finding.rule for finding in mending.after.findings)


def test_nothing_new_is_found(mending_of_case: tuple[Case, Mending]) -> None:
    _, mending = mending_of_case
    known = {finding.rule for finding in mending.before.findings}

    assert {finding.rule for finding in mending.after.findings} <= known


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_was_mended_is_not_mended_again(case: Case, tmp_path: Path) -> None:
    assert mended(tmp_path, case.after).mended == ()


REFUSED = {
    "a loop": (
        'def upgrade():\n    for column in ("email", "note"):\n'
        '        op.create_index(f"ix_{column}", "orders", [column])\n',
        "it stands in a loop",
    ),
    "a condition": (
        'def upgrade():\n    if True:\n        op.create_index("ix", "orders", ["email"])\n',
        "it is sent under a condition",
    ),
    "a helper": (
        'def upgrade():\n    make()\n\n\ndef make():\n    op.create_index("ix", "orders", ["email"])\n',
        "it is sent from outside upgrade() and downgrade()",
    ),
    "a connection": (
        'def upgrade():\n    op.get_bind().execute(sa.text("CREATE INDEX ix ON orders (email)"))\n',
        "it is no plain call of op",
    ),
    "made text": (
        'def upgrade():\n    table = "orders"\n    op.execute(f"CREATE INDEX ix ON {table} (email)")\n',
        "its SQL is not written as one literal",
    ),
    "arguments from elsewhere": (
        'def upgrade():\n    more = {"unique": False}\n    op.create_index("ix", "orders", ["email"], **more)\n',
        "its arguments are not all written out",
    ),
    "two statements on a line": (
        'def upgrade():\n    op.create_index("ix", "orders", ["email"]); op.execute("SELECT 1")\n',
        "several statements share its line",
    ),
    "rows that are changed before": (
        "def upgrade():\n    op.execute(\"UPDATE orders SET note = '' WHERE id = 1\")\n"
        '    op.create_index("ix", "orders", ["email"])\n',
        "what stands at line 7 would be committed first and could not be done again after a failure: "
        "give it a revision of its own",
    ),
    "a unique index behind a change of rows elsewhere": (
        'def upgrade():\n    op.execute("DELETE FROM users WHERE id = 1")\n'
        '    op.create_index("ix", "orders", ["email"], unique=True)\n',
        "what stands at line 7 would be committed first and could not be done again after a failure: "
        "give it a revision of its own",
    ),
    "a CHECK that the next statement needs": (
        'def upgrade():\n    op.create_check_constraint("c", "orders", "email IS NOT NULL")\n'
        '    op.alter_column("orders", "email", nullable=False)\n',
        "what stands at line 8 needs it: the two are phases",
    ),
    "a column in the batch of its index": (
        'def upgrade():\n    with op.batch_alter_table("orders") as batch_op:\n'
        '        batch_op.add_column(sa.Column("q", sa.Text()))\n        batch_op.create_index("ix", ["q"])\n',
        "its batch does more than make and drop indexes: give the index a revision of its own",
    ),
    "a partitioned table": (
        'def upgrade():\n    op.create_index("ix", "events", ["kind"])\n',
        "its table is partitioned: the index is built on each partition, in revisions of their own",
    ),
    "a default that a function gives": (
        'def upgrade():\n    op.add_column("orders", sa.Column("at", sa.Text(), default=str, nullable=False))\n',
        "its default is no plain value: evolve plan add-required-column orders.at text --up EXPRESSION",
    ),
    "phases": (
        'def upgrade():\n    op.alter_column("orders", "email", nullable=False)\n',
        "it needs phases: evolve plan set-not-null orders.email",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_sure_is_left_with_its_reason(name: str, tmp_path: Path) -> None:
    body, reason = REFUSED[name]
    mending = mended(tmp_path, body)

    assert (mending.mended, reason in reasons(mending)) == ((), True), reasons(mending)


def test_downgrades_are_mended_where_they_are_asked_about(tmp_path: Path) -> None:
    body = 'def upgrade():\n    pass\n\n\ndef downgrade():\n    op.create_index("ix", "orders", ["email"])\n'
    mending = mended(tmp_path, body, downgrades=True)

    assert "op.get_context().autocommit_block()" in after(mending)


# -- files as they are --------------------------------------------------------------------------------------
ONE_INDEX = 'def upgrade():\n    op.create_index("ix", "orders", ["email"])  # größer\n'


@pytest.mark.parametrize(
    ("head", "encoding", "newline"),
    [
        ("", "utf-8", "\r\n"),
        ("", "utf-8-sig", "\n"),
        ("# coding: latin-1\n", "latin-1", "\n"),
        ("", "utf-8", "\n"),
    ],
)
def test_encoding_and_line_ends_are_kept(head: str, encoding: str, newline: str, tmp_path: Path) -> None:
    example = Example(ALL[0], "", (SHOP, SETUP), (ONE_INDEX,), frozenset())
    project = write_project(tmp_path, example)
    file = tmp_path / "migrations" / "versions" / "block0.py"
    text = head + file.read_text(encoding="utf-8")
    file.write_bytes(text.replace("\n", newline).encode(encoding))
    (mending,) = mend_revisions(project, ask(project, revisions="block0"), Options(), DEFAULT).mended

    wanted = text.replace(
        '    op.create_index("ix", "orders", ["email"])',
        "    with op.get_context().autocommit_block():\n"
        '        op.create_index("ix", "orders", ["email"], postgresql_concurrently=True)',
    )
    assert mending.after == wanted.replace("\n", newline).encode(encoding)


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    mending = mended(tmp_path, ONE_INDEX)
    file = mending.mended[0].file
    file.write_text("# by somebody else\n", encoding="utf-8")

    with pytest.raises(ChangedMeanwhile, match="changed while it was being read"):
        write(mending)
    assert file.read_text(encoding="utf-8") == "# by somebody else\n"


def test_lines_of_what_is_left_are_those_of_the_file(tmp_path: Path) -> None:
    body = ONE_INDEX + '    op.drop_column("users", "name")\n'
    (left,) = mended(tmp_path, body).left

    assert (left.before.place.line, left.finding.place.line) == (8, 10)


def test_a_file_without_a_last_line_end_gets_its_block(tmp_path: Path) -> None:
    body = 'def upgrade():\n    op.create_check_constraint("c", "orders", "total > 0")'

    assert after(mended(tmp_path, body)).endswith('VALIDATE CONSTRAINT c")\n')


# -- plain SQL ----------------------------------------------------------------------------------------------
SCRIPTS = {
    "CREATE INDEX ix ON orders (email);  -- slow\n": "CREATE INDEX CONCURRENTLY ix ON orders (email);  -- slow\n",
    "DROP INDEX ix;\n": "DROP INDEX CONCURRENTLY ix;\n",
    "REINDEX TABLE orders;\n": "REINDEX TABLE CONCURRENTLY orders;\n",
    "-- é\r\nALTER TABLE orders ADD CONSTRAINT c\r\n  CHECK (total > 0);\r\n": (
        "-- é\r\nALTER TABLE orders ADD CONSTRAINT c\r\n  CHECK (total > 0) NOT VALID;\r\n"
        "ALTER TABLE orders VALIDATE CONSTRAINT c;\r\n"
    ),
    "CREATE INDEX a ON orders (email);\nCREATE INDEX IF NOT EXISTS b ON orders (note);\n": (
        "DROP INDEX CONCURRENTLY IF EXISTS a;\nCREATE INDEX CONCURRENTLY a ON orders (email);\n"
        "DROP INDEX CONCURRENTLY IF EXISTS b;\nCREATE INDEX CONCURRENTLY b ON orders (note);\n"
    ),
}


@pytest.mark.parametrize("before", SCRIPTS)
def test_a_script_is_mended(before: str, tmp_path: Path) -> None:
    file = tmp_path / "change.sql"
    file.write_bytes(before.encode())
    (mending,) = mend_scripts([str(file)], Options(), DEFAULT).mended

    assert mending.after.decode() == SCRIPTS[before]


def test_a_transaction_of_a_script_is_left(tmp_path: Path) -> None:
    file = tmp_path / "change.sql"
    file.write_text("BEGIN;\nCREATE INDEX ix ON orders (email);\nCOMMIT;\n", encoding="utf-8")
    mending = mend_scripts([str(file)], Options(), DEFAULT)

    assert reasons(mending) == ["it stands between BEGIN and COMMIT"]


# -- whatever stands around ---------------------------------------------------------------------------------
def finding(line: int, sql: str) -> Finding:
    return Finding(
        "EV102",
        "create-index-blocking",
        Severity.ERROR,
        Place(Path("r.py"), line),
        "r",
        "",
        "",
        sql,
        safe=("CREATE INDEX CONCURRENTLY",),
    )


COMMENTS = st.sampled_from(["# ü", "# 'quoted", '# "', "#", "# a # b", "# ) ,"])
FILLERS = st.lists(st.one_of(st.just(""), COMMENTS, st.just("x = 'größe'")), max_size=3)
CALLS = (
    ('op.create_index("ix", "orders", ["email"])', 'op.create_index("ix", "orders", ["email"], {})'),
    ('op.create_index("ix", "orders", ["email"],)', 'op.create_index("ix", "orders", ["email"], {},)'),
    ('op.create_index("ix", ("orders"), (["email"]))', 'op.create_index("ix", ("orders"), (["email"]), {})'),
)


@given(
    before=FILLERS,
    behind=FILLERS,
    call=st.sampled_from(CALLS),
    comment=st.one_of(st.just(""), COMMENTS.map(lambda words: f"  {words}")),
    unit=st.sampled_from(["    ", "  ", "\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_all_other_lines_stay_as_they_are(
    before: list[str], behind: list[str], call: tuple[str, str], comment: str, unit: str, newline: str
) -> None:
    lines = [
        "from alembic import op",
        "def upgrade():",
        *(unit + line if line else "" for line in before),
        f"{unit}{call[0]}{comment}",
        *(unit + line if line else "" for line in behind),
    ]
    text = newline.join(lines) + newline
    number = lines.index(f"{unit}{call[0]}{comment}") + 1
    fix = available(finding(number, "CREATE INDEX ix ON orders (email)"), text)
    assert isinstance(fix, Fix)
    changed = apply(text, fix.edits)

    found = [line.strip() for line in changed.split(newline)]
    found.remove("with op.get_context().autocommit_block():")
    wanted = [line.strip() for line in text.split(newline)]
    wanted[number - 1] = call[1].format("postgresql_concurrently=True") + comment
    assert [line.replace(", ,", ",").replace("=True,)", "=True)") for line in found] == [
        line.replace("=True,)", "=True)") for line in map(str.strip, wanted)
    ]
    compile(changed, "r.py", "exec")


STRINGS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)


@given(text=STRINGS, places=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), STRINGS), max_size=4))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_edits_change_nothing_but_what_they_span(text: str, places: list[tuple[int, int, str]]) -> None:
    edits: list[Edit] = []
    for start, length, new in places:
        edit = Edit(min(start, len(text)), min(start + length, len(text)), new)
        if not any(touch([edit], [other]) for other in edits):
            edits.append(edit)
    changed, moved = apply(text, edits), 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        at = edit.start + moved
        assert changed[at : at + len(edit.text)] == edit.text
        moved += len(edit.text) - (edit.end - edit.start)
    assert len(changed) == len(text) + moved


def test_edits_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="two edits"):
        apply("abcdef", [Edit(0, 3, "x"), Edit(2, 4, "y")])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from alembic import op as o", "o"),
        ("import alembic.op as migrate", "migrate"),
        ("import alembic.op", None),
        ("from alembic import context as op", None),
    ],
)
def test_the_name_of_op(line: str, name: str | None) -> None:
    assert Source(f"{line}\n").modules == ({name} if name else frozenset())


def test_lines_of_edits_are_those_that_python_counts() -> None:
    before = b"# \x0c one\n# two\xe2\x80\xa8\nthree = 1\n"
    mended = Mended(Path("x.py"), before, before.replace(b"= 1", b"= 2"), ())

    assert list(mended.changes) == [(3, 4, "three = 2\n")]
