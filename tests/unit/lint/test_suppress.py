"""Comments that allow findings: what they speak for, what they must say, and what becomes of those that are wrong."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from evolve.lint.baseline import Baseline, updated
from evolve.lint.model import Finding, Severity
from evolve.lint.rules import ALL
from evolve.lint.settings import AllowedBySetting
from evolve.lint.suppress import Judged, Silence, Silences, suppress
from evolve.sql.steps import CapturedStatement, Place

FILE = Path("0001_first.py")
TODAY = date(2026, 6, 1)


def finding(line: int, rule: str = "EV204", name: str = "drop-column") -> Finding:
    return Finding(rule, name, Severity.ERROR, Place(FILE, line), "0001", "it is dropped", "it is gone")


def silence(source: str, *findings: Finding, ignore: tuple[str, ...] = ()) -> Silence:
    return suppress(findings, ALL, TODAY, judged(textwrap.dedent(source).lstrip()), Silences(ignore))


def names(result: Silence) -> list[str]:
    return [each.name for each in result.findings]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('op.drop_column("t", "c")  # evolve: allow[drop-column] because nobody maps it', 1),
        ('# evolve: allow[drop-column] because nobody maps it\nop.drop_column("t", "c")', 2),
        ('# evolve: allow[EV204] because nobody maps it\nop.drop_column("t", "c")', 2),
        ('# evolve: allow[drop-column] because nobody maps it\n# a word more\n\nop.drop_column("t", "c")', 4),
        ('op.drop_column(\n    "t",  # evolve: allow[drop-column] because nobody maps it\n    "c",\n)', 1),
        ('op.drop_column(\n    "t",\n    "c",\n)  # evolve: allow[drop-column] because nobody maps it', 2),
        (
            'op.execute("""\nALTER TABLE t\nDROP COLUMN c""")  # evolve: allow[drop-column] because nobody maps it',
            1,
        ),
        ("# evolve: allow[drop-table, drop-column] because nobody maps it\nx = 1", 2),
        ("# evolve: allow[drop-column] until 2026-06-01 because nobody maps it\nx = 1", 2),
        ("# evolve: allow-file[drop-column] because nobody maps it\n\n\n\nx = 1", 5),
        ("#evolve:allow [drop-column] because nobody maps it\nx = 1", 2),
    ],
)
def test_comment_allows_the_finding(source: str, line: int) -> None:
    result = silence(source, finding(line), finding(line, "EV401", "drop-table"))

    assert [each.finding.rule for each in result.suppressed if each.finding.rule == "EV204"] == ["EV204"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("# evolve: allow[drop-column] because nobody maps it\nx = 1\ny = 2", 3),
        ("x = 1  # evolve: allow[drop-column] because nobody maps it\ny = 2", 2),
        ('x = "# evolve: allow[drop-column] because nobody maps it"', 1),
        ('x = """\n# evolve: allow[drop-column] because nobody maps it\n"""', 2),
    ],
)
def test_comment_speaks_for_its_own_statement_only(source: str, line: int) -> None:
    assert "drop-column" in names(silence(source, finding(line)))


def test_reason_is_kept() -> None:
    result = silence(
        "x = 1  # evolve: allow[drop-column] because release 41, and all since, do not map it", finding(1)
    )

    assert result.suppressed[0].reason == "release 41, and all since, do not map it"


def test_one_comment_serves_every_finding_of_a_loop() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] because nobody maps them", finding(1), finding(1))

    assert (len(result.suppressed), result.findings) == (2, ())


@pytest.mark.parametrize(
    ("comment", "complaint"),
    [
        ("allow[drop-column]", "allow-without-reason"),
        ("allow[drop-column] because", "allow-without-reason"),
        ("allow[drop-column] until 2026-05-31 because nobody maps it", "allow-expired"),
        ("allow[drop-column] until soon because nobody maps it", "allow-unreadable"),
        ("allow[] because nobody maps it", "allow-unreadable"),
        ("allow drop-column because nobody maps it", "allow-unreadable"),
        ("allow[drop-column] nobody maps it", "allow-unreadable"),
        ("ignore[drop-column]", "allow-unreadable"),
        ("allow[drop-colum] because nobody maps it", "allow-unknown-rule"),
    ],
)
def test_comment_that_is_wrong_allows_nothing_and_is_a_finding(comment: str, complaint: str) -> None:
    assert names(silence(f"x = 1  # evolve: {comment}", finding(1))) == ["drop-column", complaint]


def test_complaint_that_the_settings_silence_is_listed() -> None:
    result = silence("x = 1  # evolve: allow[drop-colum] because nobody maps it", ignore=("EV923",))

    assert (names(result), [each.finding.rule for each in result.suppressed]) == ([], ["EV923"])


@pytest.mark.parametrize("word", ["1xx", "all"])
def test_family_in_a_comment_is_told_where_it_belongs(word: str) -> None:
    result = silence(f"x = 1  # evolve: allow[{word}] because nobody maps it")

    assert [each.fix for each in result.findings] == [
        "name each rule; what shall hold for a family stands in the settings"
    ]


def test_unknown_rule_names_the_nearest() -> None:
    result = silence("x = 1  # evolve: allow[drop-colum] because nobody maps it")

    assert result.findings[0].fix == "did you mean drop-column?"


def test_unused_comment_is_a_finding() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] because nobody maps it")

    assert [(each.name, each.place.line) for each in result.findings] == [("allow-unused", 1)]


def test_each_name_of_a_comment_must_be_used() -> None:
    result = silence("x = 1  # evolve: allow[drop-column, drop-table] because nobody uses it", finding(1))

    assert [each.message for each in result.findings] == [
        "the comment allows drop-table, and there is no such finding here"
    ]


def test_line_is_asked_before_file() -> None:
    source = """
        # evolve: allow-file[drop-column] because of the file
        x = 1  # evolve: allow[drop-column] because of the line
        y = 2
    """

    result = silence(source, finding(2), finding(3))

    assert [each.reason for each in result.suppressed] == ["of the line", "of the file"]


def test_configuration_ignores_rules() -> None:
    result = silence("x = 1", finding(1), finding(1, "EV401", "drop-table"), ignore=("EV204", "EV401"))

    assert (result.findings, [each.place for each in result.suppressed]) == ((), [None, None])


def test_complaints_can_be_ignored_by_configuration() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] because nobody maps it", ignore=("EV922",))

    assert result.findings == ()


def test_comment_of_a_file_that_is_no_python_is_still_read() -> None:
    source = "x = (  # evolve: allow[drop-column] because nobody maps it\n"

    assert names(silence(source)) == ["allow-unused"]


def test_windows_line_ends_count_as_one() -> None:
    result = silence("x = 1\r\n# evolve: allow[drop-column] because nobody maps it\r\ny = 2\r\n", finding(3))

    assert result.findings == ()


# -- what has its chance, and what has not ---------------------------------------------------------------------
UNUSED = "# evolve: allow[drop-column] because nobody maps it\nx = 1\n"


def judged(source: str = "x = 1\n", **changes: Any) -> Judged:
    return replace(Judged({FILE: ("0001", source)}, ALL), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"incomplete": {"0001"}},
        {"asked": [rule for rule in ALL if rule.id != "EV204"]},
        {"otherwise": lambda: [finding(2)]},
    ],
    ids=["not read to its end", "rule not asked", "new in the same rollout"],
)
def test_comment_that_had_no_chance_is_not_called_unused(changes: dict[str, Any]) -> None:
    assert suppress([], ALL, TODAY, judged(UNUSED, **changes)).findings == ()


@pytest.mark.parametrize("downgrades", [False, True])
def test_comment_of_a_downgrade_is_unused_only_where_those_are_judged(downgrades: bool) -> None:
    source = f"def downgrade():\n    {UNUSED.strip().replace(chr(10), chr(10) + '    ')}\n"

    result = suppress([], ALL, TODAY, judged(source, downgrades=downgrades))

    assert names(result) == ["allow-unused"] * downgrades


def test_unused_comment_names_the_line_of_the_finding_it_missed() -> None:
    result = silence(f"{UNUSED}y = 2\n", finding(3))

    assert result.findings[-1].fix == "move the comment to line 3, or remove it"


def test_expired_comment_without_a_finding_is_only_unused() -> None:
    result = silence("x = 1  # evolve: allow[drop-column] until 2026-05-31 because nobody maps it")

    assert names(result) == ["allow-unused"]


def test_id_in_small_letters_is_known() -> None:
    assert silence("x = 1  # evolve: allow[ev204] because nobody maps it", finding(1)).findings == ()


# -- SQL that a revision sends ---------------------------------------------------------------------------------
SENT = """
-- evolve: allow[drop-column] because nobody maps a
ALTER TABLE t DROP COLUMN a;
ALTER TABLE t DROP COLUMN b;
"""


def sent(sql_line: int, sql: str = SENT) -> Finding:
    return replace(finding(1), sql=sql, sql_line=sql_line, message=f"line {sql_line}")


def test_comment_in_sent_sql_allows_the_finding_of_its_statement_alone() -> None:
    statements = {"0001": [CapturedStatement(SENT, Place(FILE, 1), 1)]}

    result = suppress([sent(3), sent(4)], ALL, TODAY, judged(sent=statements))

    assert ([each.finding.sql_line for each in result.suppressed], names(result)) == ([3], ["drop-column"])


def test_comment_of_a_loop_is_of_use_where_one_of_its_texts_has_the_finding() -> None:
    texts = [SENT, SENT.replace("TABLE t", "TABLE s")]
    statements = {"0001": [CapturedStatement(text, Place(FILE, 1), 1) for text in texts]}
    source = f'for t in "ts":\n    op.execute(f"""{SENT}""")\n'

    result = suppress([sent(3)], ALL, TODAY, judged(source, sent=statements))

    assert names(result) == []


# -- the settings ----------------------------------------------------------------------------------------------
SETTINGS = Path("/project/pyproject.toml")


def allow(*files: str, rules: tuple[str, ...] = ("drop-column",), until: date | None = None) -> Silences:
    return Silences(allow=[AllowedBySetting(rules, "nobody maps it", files, until, SETTINGS, 7)])


@pytest.mark.parametrize("files", [(), ("*",), ("0001_*.py",), ("0001",), ("0002", "0001")])
def test_setting_allows_with_its_reason_and_its_line(files: tuple[str, ...]) -> None:
    result = suppress([finding(1)], ALL, TODAY, judged(), allow(*files))

    (allowed,) = result.suppressed
    assert (allowed.reason, allowed.place, allowed.by) == (
        "nobody maps it",
        Place(SETTINGS, 7),
        "configuration",
    )


@pytest.mark.parametrize(("rules", "allowed"), [(("2xx",), 1), (("all",), 1), (("EV204",), 1), (("1xx",), 0)])
def test_setting_names_rules_or_families(rules: tuple[str, ...], allowed: int) -> None:
    assert len(suppress([finding(1)], ALL, TODAY, judged(), allow(rules=rules)).suppressed) == allowed


def test_setting_for_other_files_allows_nothing() -> None:
    assert names(suppress([finding(1)], ALL, TODAY, judged(), allow("0002_*.py"))) == ["drop-column"]


@pytest.mark.parametrize("folder", ["/project", "/project/migrations"])
def test_globs_start_from_either_root(folder: str) -> None:
    file = Path("/project/migrations/versions/0001.py")
    found = replace(finding(1), place=Place(file, 1))
    about = judged(roots=(Path("/project"), Path("/project/migrations")), sources={file: ("0001", "x = 1\n")})
    glob = (file.parent.relative_to(folder) / "*.py").as_posix()

    assert len(suppress([found], ALL, TODAY, about, allow(glob)).suppressed) == 1


def test_setting_holds_up_to_its_last_day() -> None:
    assert len(suppress([finding(1)], ALL, TODAY, judged(), allow(until=TODAY)).suppressed) == 1


def test_expired_setting_is_an_error_beside_what_it_allowed() -> None:
    result = suppress([finding(1)], ALL, TODAY, judged(), allow(until=date(2026, 5, 31)))

    assert [(each.name, each.place.file.name) for each in result.findings] == [
        ("drop-column", FILE.name),
        ("allow-expired", "pyproject.toml"),
    ]


def test_glob_without_a_file_is_told() -> None:
    result = suppress([], ALL, TODAY, judged(files={"0001": FILE}), allow("2019_*.py"))

    assert [(each.name, each.place) for each in result.findings] == [("allow-unused", Place(SETTINGS, 7))]
    assert '"2019_*.py"' in result.findings[0].message


def test_setting_that_allows_nothing_is_told_where_all_it_speaks_for_was_judged() -> None:
    assert names(suppress([], ALL, TODAY, judged(files={"0001": FILE}), allow())) == ["allow-unused"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"files": {"0001": FILE, "0002": Path("0002.py")}},
        {"files": {"0001": FILE}, "incomplete": {"0001"}},
        {"files": {"0001": FILE}, "otherwise": lambda: [finding(1)]},
    ],
    ids=["files not known", "a part", "not read to its end", "new in the same rollout"],
)
def test_setting_is_not_called_unused_by_a_run_that_cannot_tell(changes: dict[str, Any]) -> None:
    assert names(suppress([], ALL, TODAY, judged(**changes), allow())) == []


def test_rule_that_is_switched_off_is_allowed_not_forgotten() -> None:
    result = suppress([finding(1)], ALL, TODAY, judged(), Silences(severities={"EV204": "off"}))

    assert [each.reason for each in result.suppressed] == ["switched off by the configuration"]


def test_complaints_have_the_severity_that_is_chosen() -> None:
    result = suppress([], ALL, TODAY, judged(UNUSED), Silences(severities={"EV922": "error"}))

    assert [each.severity for each in result.findings] == [Severity.ERROR]


# -- the baseline ----------------------------------------------------------------------------------------------
BASELINE = updated(Baseline(Path("evolve-baseline.jsonl")), [finding(1)], ())


def test_known_finding_is_quiet() -> None:
    result = suppress([finding(9)], ALL, TODAY, judged(), Silences(baseline=BASELINE))

    assert ([each.by for each in result.suppressed], result.findings) == (["baseline"], ())


def test_comment_goes_before_the_baseline_whose_entry_is_not_gone() -> None:
    result = suppress([finding(2)], ALL, TODAY, judged(UNUSED), Silences(baseline=BASELINE))

    assert ([each.by for each in result.suppressed], result.findings, result.gone) == (["comment"], (), ())


def test_known_finding_that_is_gone_is_told() -> None:
    result = suppress([], ALL, TODAY, judged(), Silences(baseline=BASELINE))

    assert [each.message for each in result.findings] == [
        "the baseline knows a finding that is no longer there: drop-column in 0001"
    ]


def test_revision_that_is_no_more_takes_its_entries_along() -> None:
    about = judged(sources={}, files={"0002": Path("0002.py")})

    assert len(suppress([], ALL, TODAY, about, Silences(baseline=BASELINE)).gone) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": {}},
        {"sources": {}, "files": {"0001": FILE}},
        {"incomplete": {"0001"}},
        {"asked": [rule for rule in ALL if rule.id != "EV204"]},
        {"otherwise": lambda: [finding(1)]},
    ],
    ids=["files not known", "not judged", "not read to its end", "rule not asked", "new in the same rollout"],
)
def test_known_finding_is_not_called_gone_by_a_run_that_cannot_tell(changes: dict[str, Any]) -> None:
    assert suppress([], ALL, TODAY, judged(**changes), Silences(baseline=BASELINE)).gone == ()
