"""What a baseline writes of findings, which findings it knows again, and what it says is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.lint.baseline import (
    Baseline,
    BaselineOfAnotherVersion,
    BrokenBaseline,
    ConflictInBaseline,
    Entry,
    Known,
    NoBaseline,
    entry_of,
    read,
    render,
    updated,
)
from evolve.lint.model import Finding, Severity
from evolve.sql.steps import Place

FOLDER = Path("/project")
FILE = FOLDER / "evolve-baseline.jsonl"


def finding(
    sql: str | None = "DROP TABLE a", *, line: int = 1, revision: str = "0001", file: str = "0001.py"
) -> Finding:
    return Finding(
        "EV401", "drop-table", Severity.ERROR, Place(FOLDER / file, line), revision, "it goes", "why", sql
    )


def baseline(*findings: Finding) -> Baseline:
    return updated(Baseline(FILE), findings, ())


def gone(known: Known, also: Sequence[Finding] = ()) -> list[tuple[str, int]]:
    return [(entry.sql, entry.times) for entry in known.gone(lambda _: True, lambda: also)]


@pytest.mark.parametrize(
    "again",
    [
        finding(line=7),
        finding(file="renamed.py"),
        finding("drop  TABLE\n  a -- and a comment\n"),
        finding("/* why */ DROP TABLE A"),
        replace(finding(), message="told in other words", severity=Severity.WARNING),
    ],
    ids=["moved", "renamed", "laid out", "commented", "reworded"],
)
def test_finding_is_known_again(again: Finding) -> None:
    assert Known(baseline(finding())).take(again) is not None


@pytest.mark.parametrize(
    "other",
    [
        finding("DROP TABLE b"),
        finding('DROP TABLE "A"'),
        finding(revision="0002"),
        replace(finding(), rule="EV402"),
        replace(finding(), direction="downgrade"),
    ],
    ids=["statement", "quoted name", "revision", "rule", "direction"],
)
def test_another_finding_is_not_known(other: Finding) -> None:
    assert Known(baseline(finding())).take(other) is None


def test_statement_of_a_text_is_known_when_others_join_it() -> None:
    alone = finding("DROP TABLE a;\nDROP TABLE b;")
    joined = replace(finding("SELECT 1;\nDROP TABLE a;\nDROP TABLE b;"), sql_line=2)

    assert Known(baseline(alone)).take(joined) is not None


def test_findings_that_cannot_be_told_apart_are_counted() -> None:
    known = Known(baseline(finding(), finding(line=9)))

    assert [known.take(finding()) is not None for _ in range(3)] == [True, True, False]


def test_finding_without_a_statement_is_known_by_its_rule() -> None:
    assert Known(baseline(finding(None))).take(finding(None, line=5)) is not None


def test_file_of_sql_is_known_by_its_path_from_the_baseline() -> None:
    of_file = finding(file="sql/1.sql", revision="/project/sql/1.sql")

    assert entry_of(of_file, FOLDER).revision == "sql/1.sql"


def test_what_is_not_met_is_gone_as_often() -> None:
    known = Known(baseline(finding(), finding(), finding("DROP TABLE b")))
    known.take(finding())

    assert gone(known) == [("drop table a", 1), ("drop table b", 1)]


def test_what_had_no_chance_is_not_gone() -> None:
    known = Known(baseline(finding()))

    assert list(known.gone(lambda entry: entry.revision != "0001", tuple)) == []


def test_what_is_found_when_judged_alone_is_not_gone() -> None:
    assert gone(Known(baseline(finding())), also=[finding(line=3)]) == []


# -- what is written ---------------------------------------------------------------------------------------------
def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "evolve-baseline.jsonl"
    odd = finding("UPDATE a SET b = 'ü\u2028\x85 \"'", revision="ä\u2028")
    entries = baseline(odd, finding(), finding(), replace(finding(None), direction="downgrade")).entries
    file.write_text(render(entries), encoding="utf-8", newline="")

    again = {entry: entry.times for entry in read(file).entries}

    assert again == {entry: entry.times for entry in entries}


def test_order_is_that_of_the_entries_not_of_the_findings() -> None:
    several = [finding("DROP TABLE b"), finding(), finding(revision="0000")]

    assert render(baseline(*several).entries) == render(baseline(*reversed(several)).entries)


def test_one_more_finding_is_one_more_line() -> None:
    before = render(baseline(finding(), finding("DROP TABLE c")).entries).splitlines()
    after = render(baseline(finding(), finding("DROP TABLE b"), finding("DROP TABLE c")).entries).splitlines()

    new = [line for line in after if line not in before]
    assert (len(new), len(after)) == (1, len(before) + 1)


def test_statement_that_shares_its_line_is_known_by_its_own_words() -> None:
    known, other = finding("SELECT 1; DROP TABLE a"), finding("SELECT 1; DROP TABLE b")

    assert Known(baseline(known)).take(other) is None


def test_statement_that_begins_where_another_ends_is_known_by_its_own_words() -> None:
    known, other = (replace(finding(f"SELECT\n1; DROP TABLE {name}"), sql_line=2) for name in "ab")

    assert Known(baseline(known)).take(other) is None


def test_long_statement_is_cut_for_people_alone() -> None:
    long = [finding(f"INSERT INTO a VALUES ({'1' * 200}{end})") for end in "12"]

    assert len({entry.statement for entry in baseline(*long).entries}) == 2
    assert all(len(entry.sql) == 70 for entry in baseline(*long).entries)


def test_update_keeps_the_others_and_drops_what_is_gone() -> None:
    old = baseline(finding(), finding("DROP TABLE b"), finding(revision="0009"))
    dropped = next(entry for entry in old.entries if entry.sql == "drop table b")

    new = updated(old, [finding(), finding("DROP TABLE c")], [dropped])

    assert sorted((entry.revision, entry.sql) for entry in new.entries) == [
        ("0001", "drop table a"),
        ("0001", "drop table c"),
        ("0009", "drop table a"),
    ]


# -- what cannot be read -----------------------------------------------------------------------------------------
def test_both_sides_of_a_merge_are_one_list(tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl"
    text = render([Entry("0001", "EV401", "abc", times=2)])
    file.write_text(text + text.replace('"times": 2', '"times": 3'))

    assert [entry.times for entry in read(file).entries] == [3]


def test_windows_line_ends_and_a_mark_of_utf8_are_read(tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + render(baseline(finding()).entries).replace("\n", "\r\n").encode())

    assert read(file).count == 1


def test_conflict_says_which_lines_to_keep(tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text('{"evolve-baseline": 1}\n<<<<<<< HEAD\n')

    with pytest.raises(ConflictInBaseline, match="merge=union") as raised:
        read(file)
    assert raised.value.what.startswith(f"{file}:2: ")


@pytest.mark.parametrize(
    ("version", "fix"), [("2", "upgrade evolve"), ("0", "write it anew"), ('"1"', "write it anew")]
)
def test_other_format_is_refused_with_what_mends_it(tmp_path: Path, version: str, fix: str) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text(f'{{"evolve-baseline": {version}}}\n{{"new": []}}\n')

    with pytest.raises(BaselineOfAnotherVersion, match=fix):
        read(file)


@pytest.mark.parametrize("content", [b"", b"[]\n", b"revision: 1\n", b"\xff\xfe\n"])
def test_file_that_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "b.jsonl"
    file.write_bytes(content)

    with pytest.raises(NoBaseline, match="--no-baseline"):
        read(file)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "the line is no JSON"),
        ("[1]", "the line is no object of JSON"),
        ('{"rule": "EV401"}', '"revision" must be a text'),
        ('{"revision": "1", "rule": 4}', '"rule" must be a text'),
        ('{"revision": "1", "rule": "EV401", "times": 0}', '"times" must be a whole number of at least 1'),
        ('{"revision": "1", "rule": "EV401", "times": true}', '"times" must be a whole number of at least 1'),
        ('{"revision": "1", "rule": "EV401", "direction": "up"}', '"direction" must be upgrade or downgrade'),
        ('{"revision": "1", "rule": "EV401", "line": 3}', '"line" means nothing in a baseline'),
    ],
)
def test_broken_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text(f'{{"evolve-baseline": 1}}\n\n{line}\n')

    with pytest.raises(BrokenBaseline) as raised:
        read(file)
    assert raised.value.what == f"{file}:3: {reason}"


def test_folder_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(NoBaseline, match="Is a directory"):
        read(tmp_path)
