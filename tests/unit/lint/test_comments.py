"""Which comments of ours a text holds, wherever they stand and however they are written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from evolve.lint.comments import Allowance, Unreadable, read_comments
from evolve.sql.steps import CapturedStatement, Place

PYTHON = Path("0001_first.py")
SQL = Path("0001_first.sql")
BECAUSE = "because nobody maps it"


def only(source: str, file: Path = PYTHON) -> Allowance:
    (found,) = read_comments(file, source)
    assert isinstance(found, Allowance), found
    return found


def sent(source: str, sql: str, line: int) -> list[Allowance | Unreadable]:
    return list(read_comments(PYTHON, source, [CapturedStatement(sql, Place(PYTHON, line), 1)]))


@pytest.mark.parametrize(
    "comment",
    [
        f"# evolve: allow[drop-column] {BECAUSE}",
        f"#\tevolve:\tallow[drop-column]\t{BECAUSE}",
        f"#evolve:allow[ drop-column ]{BECAUSE}".replace("]because", "] because"),
        f"## evolve: allow[drop-column] {BECAUSE}",
        f"# Evolve: Allow[drop-column] {BECAUSE}",
        f"# evolve : allow[drop-column] {BECAUSE}",
        f"# evolve: allow[drop-column] {BECAUSE}   ",
        f"# noqa: E501  # evolve: allow[drop-column] {BECAUSE}",
        f"# evolve: allow[drop-column] {BECAUSE}  # noqa: E501",
        f"# evolve: allow[drop-column,] {BECAUSE}",
    ],
)
def test_spellings_of_a_comment_mean_the_same(comment: str) -> None:
    found = only(f"x = 1  {comment}\n")

    assert (found.name, found.reason, found.lines) == ("drop-column", "nobody maps it", range(1, 2))


def test_reason_keeps_its_letters_and_signs() -> None:
    found = only("x = 1  # evolve: allow[drop-column] because Größe № 5 — siehe #12, ✓")

    assert found.reason == "Größe № 5 — siehe #12, ✓"


def test_several_comments_on_one_line_are_read_one_by_one() -> None:
    found = list(
        read_comments(PYTHON, "x = 1  # evolve: allow[a] because of x  # evolve: allow[b, c] because of y\n")
    )

    assert [(each.name, each.reason) for each in found if isinstance(each, Allowance)] == [
        ("a", "of x"),
        ("b", "of y"),
        ("c", "of y"),
    ]


@pytest.mark.parametrize("reason", ["…", "...", "-", ""])
def test_reason_that_says_nothing_is_none(reason: str) -> None:
    assert only(f"x = 1  # evolve: allow[drop-column] because {reason}").reason == ""


@pytest.mark.parametrize(
    "words",
    [
        "until 2026-12-31 because nobody maps it",
        "until 2026-12-31, because nobody maps it",
        "because nobody maps it until 2026-12-31",
        "because nobody maps it, until 2026-12-31.",
    ],
)
def test_last_day_stands_before_or_behind_the_reason(words: str) -> None:
    found = only(f"x = 1  # evolve: allow[drop-column] {words}")

    assert (found.until, found.reason) == (date(2026, 12, 31), "nobody maps it")


@pytest.mark.parametrize("day", ["soon", "31.12.2026", "2026-02-30", "2026-13-01"])
def test_what_is_no_day_is_told(day: str) -> None:
    (found,) = read_comments(PYTHON, f"x = 1  # evolve: allow[drop-column] until {day} {BECAUSE}")

    assert isinstance(found, Unreadable)
    assert found.problem == f'"{day}" is no day such as 2026-12-31'


@pytest.mark.parametrize(
    "source",
    [
        f'x = "# evolve: allow[drop-column] {BECAUSE}"',
        f'def upgrade():\n    """# evolve: allow[drop-column] {BECAUSE}"""',
        f'x = f"""\n# evolve: allow[drop-column] {BECAUSE}\n"""',
        f'# op.drop_column("t", "c")  # evolve: allow[drop-column] {BECAUSE}',
        "# Evolve: a word about the tool, in prose",
    ],
)
def test_what_only_looks_like_a_comment_is_none(source: str) -> None:
    assert list(read_comments(PYTHON, source)) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (f"# evolve: allow[a] {BECAUSE}\n@decorated\ndef upgrade():\n    pass\n", range(2, 3)),
        (f"with block():  # evolve: allow[a] {BECAUSE}\n    x = 1\n", range(1, 2)),
        (f"x(\n    1,\n    # evolve: allow[a] {BECAUSE}\n    2,\n)\n", range(1, 6)),
        (f"x = 1; y = 2  # evolve: allow[a] {BECAUSE}\n", range(1, 2)),
        (f"x = 1 + \\\n    2  # evolve: allow[a] {BECAUSE}\n", range(1, 3)),
        (f"x = 1\n# evolve: allow[a] {BECAUSE}\n", range(2, 3)),
    ],
)
def test_comment_speaks_for_its_logical_line(source: str, lines: range) -> None:
    assert only(source).lines == lines


def test_windows_line_ends_and_tabs() -> None:
    found = only(f"def upgrade():\r\n\t# evolve: allow[a] {BECAUSE}\r\n\tx(\r\n\t\t1,\r\n\t)\r\n")

    assert (found.lines, found.reason) == (range(3, 6), "nobody maps it")


# -- files of SQL ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (f"-- evolve: allow[a] {BECAUSE}\nDROP TABLE a;\nDROP TABLE b;\n", range(2, 3)),
        (f"DROP TABLE a; -- evolve: allow[a] {BECAUSE}\nDROP TABLE b;\n", range(1, 2)),
        (f"/* evolve: allow[a] {BECAUSE} */ DROP TABLE a;\n", range(1, 2)),
        (f"/* evolve: allow[a] {BECAUSE} */\nDROP TABLE a;\n", range(2, 3)),
        (f"\\set name 'it''s\n-- evolve: allow[a] {BECAUSE}\nDROP TABLE a;\n", range(3, 4)),
        (f"COPY t FROM STDIN;\nit's\n\\.\n-- evolve: allow[a] {BECAUSE}\nDROP TABLE a;\n", range(5, 6)),
        (f"ALTER TABLE a\r\n-- evolve: allow[a] {BECAUSE}\r\n  DROP COLUMN c;\r\n", range(1, 4)),
    ],
)
def test_comment_of_a_file_of_sql_speaks_for_its_statement(source: str, lines: range) -> None:
    found = only(source, SQL)

    assert (found.lines, found.reason) == (lines, "nobody maps it")


def test_string_in_sql_is_no_comment() -> None:
    assert list(read_comments(SQL, f"SELECT '-- evolve: allow[a] {BECAUSE}';\n")) == []


def test_comment_of_the_gate_of_a_plan_is_none_of_ours() -> None:
    assert list(read_comments(SQL, "-- evolve: gate\nDO $$ BEGIN END $$;\n")) == []


# -- SQL that a revision sends -----------------------------------------------------------------------------------
TEXT = f"""
    -- evolve: allow[a] {BECAUSE}
    DROP TABLE a;
    DROP TABLE b;
"""


def test_comment_in_sent_sql_speaks_for_its_statement_and_stands_where_the_file_has_it() -> None:
    (found,) = sent(f'x = 1\nop.execute("""{TEXT}""")\n', TEXT, 2)

    assert isinstance(found, Allowance)
    assert (found.place.line, found.lines) == (3, range(3, 4))


def test_comment_in_sent_sql_that_is_put_together_stands_where_it_is_sent() -> None:
    (found,) = sent("op.execute(open('a.sql').read())\n", TEXT, 1)

    assert found.place.line == 1


def test_file_comment_in_sent_sql_speaks_for_all_of_that_text() -> None:
    text = TEXT.replace("allow", "allow-file")

    (found,) = sent("", text, 1)

    assert isinstance(found, Allowance)
    assert (found.lines, found.sent) == (
        None,
        CapturedStatement(TEXT.replace("allow", "allow-file"), Place(PYTHON, 1), 1),
    )


def test_text_that_a_loop_sends_is_read_once() -> None:
    statement = CapturedStatement(TEXT, Place(PYTHON, 2), 1)

    assert len(list(read_comments(PYTHON, "", [statement, statement]))) == 1
