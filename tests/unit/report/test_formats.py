"""What every format says, and what none lets a hostile revision do."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.reports import FILE, FOUND, GAP, RENDER, ROOT, report, verified, weighed
from support.sarif import sarif_schema

from evolve.cli.lint_output import FORMATS
from evolve.lint.demands import Demands
from evolve.lint.model import Finding, Report, Severity, Suppressed
from evolve.lint.rules import ALL
from evolve.lint.verdict import Level
from evolve.report import gcc, github, gitlab, junit, markdown, sarif, text
from evolve.sql.steps import Place

HOSTILE = (
    "a\nb\r\nc",
    "x\n::error file=a.py::pwned",
    "50%0A, and: 7%",
    "| cell | cell |",
    "``` `` ` ```",
    "]]>",
    "</details></summary><script>alert(1)</script>",
    "<!-- evolve lint -->",
    "[text](http://example.invalid) https://example.invalid www.example.invalid",
    "@octocat and #1 and !2",
    "**bold** _under_ __dunder__ ~~gone~~ 1. one\n- two",
    "🦕 naïve 表",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "\x1b[31mred\x1b[0m \x00\x07 \x9b",
    "\u2028\u2029\u0085\x0b\x0c",
    "\udcff lone",
)


def hostile(text: str) -> Report:
    finding = replace(
        FOUND,
        message=text,
        why=text,
        safe=(text, text),
        fix=text,
        revision=text,
        name=text,
        place=Place(ROOT / text.replace("/", "").replace("\x00", ""), 3),
    )
    return replace(
        report(finding, allowed=(Suppressed(finding, text, None),)), files=((text, finding.place.file),)
    )


def xml(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  # ours


def visible(text: str) -> str:
    """Without spaces, and as `legible` writes it, so that all formats can be asked for it."""
    written = re.sub(
        "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 0x100 else f"\\u{ord(m[0]):04x}",
        text,
    )
    return re.sub(r"\s|\\x0b|\\x0c|\\x85|\\u202[89]|\u200b", "", written)


def test_every_format_of_the_command_is_tried_here() -> None:
    assert set(RENDER) == set(FORMATS)


# -- what is said --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(RENDER))
def test_a_finding_is_told_with_its_rule_and_its_command(name: str) -> None:
    shown = html.unescape(RENDER[name](report(FOUND))).replace('\\"', '"')

    for words in ("EV204", "drop-column", '"orders.email" goes away', FOUND.fix):
        assert str(words) in shown


@pytest.mark.parametrize("name", sorted(RENDER))
def test_a_gap_is_told(name: str) -> None:
    assert "upgrade() raised KeyError" in RENDER[name](report(GAP))


@pytest.mark.parametrize("name", sorted(set(RENDER) - {"gitlab"}))
def test_how_much_was_read_is_told(name: str) -> None:
    shown = html.unescape(RENDER[name](report(FOUND)))

    assert "1 of 2 statements read" in shown or '"read": 1' in shown


@pytest.mark.parametrize("name", sorted(RENDER))
def test_the_verdict_is_told(name: str) -> None:
    shown = RENDER[name](report(FOUND))

    assert "FORWARD" in shown
    assert "deploy, then migrate" in shown


@pytest.mark.parametrize("name", sorted(RENDER))
def test_the_weight_of_a_table_is_told(name: str) -> None:
    shown = RENDER[name](weighed(report(FOUND)))

    assert "48,200,000 rows, 12 GB" in shown or '"rows": 48200000' in shown


@pytest.mark.parametrize("name", sorted(set(RENDER) - {"gitlab"}))
def test_the_day_of_the_facts_is_told(name: str) -> None:
    assert "2026-05-01" in RENDER[name](weighed(report(FOUND)))


@pytest.mark.parametrize("name", sorted(RENDER))
def test_what_the_server_does_otherwise_is_told(name: str) -> None:
    shown = html.unescape(RENDER[name](verified(report()))).replace('\\"', '"')

    assert 'it rewrites "orders"; not predicted' in shown


@pytest.mark.parametrize("name", sorted(set(RENDER) - {"github", "gitlab", "gcc"}))
def test_what_is_allowed_is_told_with_its_reason(name: str) -> None:
    allowed = Suppressed(FOUND, "release 41 no longer maps it", None)

    assert "release 41 no longer maps it" in RENDER[name](report(allowed=(allowed,)))


@pytest.mark.parametrize("name", sorted(RENDER))
def test_nothing_to_check_is_no_error(name: str) -> None:
    shown = RENDER[name](Report((), (), report().coverage.__class__()))

    assert "FORWARD" not in shown
    assert "error:" not in shown


# -- what does not act ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", sorted(set(RENDER) - {"json"}))
def test_no_control_character_is_left(name: str, text: str) -> None:
    shown = RENDER[name](hostile(text))

    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", shown) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_github_gets_one_command_for_each_finding(text: str) -> None:
    lines = github.render(hostile(text), root=ROOT).split("\n")

    assert [line.partition(" ")[0] for line in lines] == ["::notice", "::error"]


@pytest.mark.parametrize("text", HOSTILE)
def test_github_reads_the_message_that_was_meant(text: str) -> None:
    _, error = github.render(hostile(text), root=ROOT).split("\n")

    properties, message = github_command(error)

    assert set(properties) <= {"file", "line", "col", "endColumn", "title"}
    assert visible(properties["title"]) == visible(f"EV204{text}")
    assert visible(message).startswith(visible(text))


def github_command(line: str) -> tuple[dict[str, str], str]:
    """As GitHub's runner reads a line."""
    match = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert match is not None

    def unescaped(value: str) -> str:
        for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(written, meant)
        return value

    pairs = (pair.partition("=") for pair in match[2].split(","))
    return {key: unescaped(value) for key, _, value in pairs}, unescaped(match[3])


@pytest.mark.parametrize("text", HOSTILE)
def test_gcc_gets_one_line_for_each_fact(text: str) -> None:
    plain, told = (gcc.render(hostile(each), root=ROOT).split("\n") for each in ("words", text))

    assert len(told) == len(plain)


@pytest.mark.parametrize("text", HOSTILE)
def test_junit_is_xml_that_says_what_was_meant(text: str) -> None:
    tree = xml(junit.render(hostile(text), root=ROOT, demands=Demands()))

    [failure] = tree.iter("failure")
    assert visible(failure.get("message") or "") == visible(f"EV204{text}:{text}")
    assert visible(text) in visible(failure.text or "")


@given(st.text())
def test_junit_is_xml_whatever_a_revision_says(text: str) -> None:
    name = re.sub("[\x00/]", "", text) or "x"
    finding = replace(FOUND, message=text, revision=text, place=Place(ROOT / name, 0))

    xml(junit.render(report(finding), root=ROOT, demands=Demands()))


class _Page(HTMLParser):
    """Which tags a page has, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.prose = ""
        self.comments: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if not {"code", "pre"}.intersection(self.open):
            self.prose += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def page(found: Report) -> _Page:
    """As a forge shows it: CommonMark with tables, HTML and strike-through."""
    forge = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return _Page(forge.render(markdown.render(found, root=ROOT)))


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_gets_no_markup_from_a_revision(text: str) -> None:
    shown, plain = page(hostile(text)), page(hostile("words"))

    assert shown.opened == plain.opened
    assert shown.open == []
    assert shown.comments == plain.comments


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_what_was_meant(text: str) -> None:
    # In the summary, in the reason, in two safe forms, in the fix, and as much of what is allowed.
    assert visible(page(hostile(text)).text).count(visible(text)) >= 6


def test_markdown_mentions_nobody() -> None:
    shown = page(hostile("ask @octocat or @org/team about #12"))

    assert re.findall(r"[@#]\w", shown.prose) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_exact(text: str) -> None:
    written = RENDER["json"](hostile(text)).encode("utf-8", "backslashreplace")

    assert json.loads(written)["findings"][0]["message"] == text


# -- SARIF ---------------------------------------------------------------------------------------------------
SCHEMA = sarif_schema()


def violations(document: object) -> Iterator[str]:
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    return (error.message for error in validator.iter_errors(document))


def run_of(found: Report, **options: Any) -> Any:
    document = json.loads(sarif.render(found, root=ROOT, rules=ALL, **options))
    [run] = document["runs"]
    return run


@pytest.mark.parametrize(
    "found",
    [
        report(),
        report(FOUND, GAP),
        verified(weighed(report(FOUND, allowed=(Suppressed(FOUND, "why not", Place(FILE, 3)),)))),
        *map(hostile, HOSTILE),
    ],
)
def test_sarif_keeps_to_its_schema(found: Report) -> None:
    document = json.loads(sarif.render(found, root=ROOT, rules=ALL, docs_url="https://docs.example.invalid"))

    assert list(violations(document)) == []


def test_the_schema_of_sarif_refuses_a_result_without_a_message() -> None:
    document = json.loads(sarif.render(report(FOUND), root=ROOT, rules=ALL))
    del document["runs"][0]["results"][0]["message"]

    assert list(violations(document)) != []


def test_sarif_tells_each_rule_once_with_its_page() -> None:
    [rule] = run_of(report(FOUND, FOUND))["tool"]["driver"]["rules"]

    assert rule["id"] == "EV204"
    assert rule["help"]["markdown"].startswith("# EV204 drop-column")


def test_sarif_links_to_the_site_where_it_is_published() -> None:
    [rule] = run_of(report(FOUND), docs_url="https://docs.example.invalid/evolve/")["tool"]["driver"]["rules"]

    assert rule["helpUri"] == "https://docs.example.invalid/evolve/rules/EV204.html"


def test_sarif_has_a_rule_that_is_no_longer_installed() -> None:
    gone = replace(FOUND, rule="ACME9", name="gone")

    assert [rule["id"] for rule in run_of(report(gone))["tool"]["driver"]["rules"]] == ["ACME9"]


@pytest.mark.parametrize(
    ("by", "kind"), [("comment", "inSource"), ("configuration", "external"), ("baseline", "external")]
)
def test_sarif_suppresses_what_is_allowed(by: Any, kind: str) -> None:
    [result] = run_of(report(allowed=(Suppressed(FOUND, "it is gone", Place(FILE, 11), by),)))["results"]

    [suppression] = result["suppressions"]
    assert (suppression["kind"], suppression["justification"]) == (kind, "it is gone")
    assert suppression["location"]["physicalLocation"]["region"]["startLine"] == 11


def test_sarif_names_files_from_the_top_of_the_repository() -> None:
    odd = replace(FOUND, place=Place(ROOT / "mig rations" / "ä#1.py", 12))

    [result] = run_of(report(odd))["results"]

    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "mig%20rations/%C3%A4%231.py", "uriBaseId": "SRCROOT"}


def test_sarif_names_files_elsewhere_in_full() -> None:
    [result] = run_of(report(replace(FOUND, place=Place(Path("/opt/other/a.py"), 1))))["results"]

    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "file:///opt/other/a.py"}


def test_sarif_marks_the_code_of_the_line(tmp_path: Path) -> None:
    file = tmp_path / "0001.py"
    file.write_text("\n\n    op.drop_column('é', 'b')  # as agreed\n")

    [result] = run_of(report(replace(FOUND, place=Place(file, 3))))["results"]

    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {
        "startLine": 3,
        "startColumn": 5,
        "endColumn": 29,
        "snippet": {"text": "op.drop_column('é', 'b')"},
    }


# -- fingerprints --------------------------------------------------------------------------------------------
def named(*findings: Finding) -> list[str]:
    issues = json.loads(gitlab.render(report(*findings), root=ROOT))
    return [issue["fingerprint"] for issue in issues if issue["check_name"] != "compatibility"]


@pytest.mark.parametrize(
    "moved",
    [
        replace(FOUND, place=Place(FILE, 99)),
        replace(FOUND, place=Place(FILE.with_name("0002_renamed.py"), 12)),
        replace(FOUND, sql="alter table orders\n  drop column email  -- at last"),
        replace(FOUND, severity=Severity.INFO, message="said in other words"),
    ],
)
def test_a_fingerprint_survives(moved: Finding) -> None:
    assert named(moved) == named(FOUND)


@pytest.mark.parametrize(
    "other",
    [
        replace(FOUND, sql="ALTER TABLE orders DROP COLUMN phone"),
        replace(FOUND, revision="0003"),
        replace(FOUND, rule="EV401"),
        replace(FOUND, direction="downgrade"),
    ],
)
def test_another_finding_has_another_fingerprint(other: Finding) -> None:
    assert named(other) != named(FOUND)


def test_fingerprints_are_unique_where_findings_are_alike() -> None:
    assert len(set(named(FOUND, FOUND, replace(FOUND, sql=None), replace(FOUND, sql=None)))) == 4


def test_a_fingerprint_survives_that_another_like_it_is_allowed() -> None:
    first, second = replace(FOUND, place=Place(FILE, 5)), replace(FOUND, place=Place(FILE, 9))
    [_, before] = named(first, second)

    document = json.loads(gitlab.render(report(second, allowed=(Suppressed(first, "so", None),)), root=ROOT))

    assert document[0]["fingerprint"] == before


# -- what fails ----------------------------------------------------------------------------------------------
def case(found: Report, demands: Demands, name: str = "0002") -> ET.Element:
    tree = xml(junit.render(found, root=ROOT, demands=demands))
    [case] = (each for each in tree.iter("testcase") if each.get("name") == name)
    return case


def test_junit_fails_a_revision_for_each_finding_that_is_too_much() -> None:
    warning = replace(FOUND, severity=Severity.WARNING)

    failures = case(report(warning, FOUND, FOUND), Demands()).findall("failure")

    assert [failure.get("type") for failure in failures] == ["EV204 drop-column"] * 2


def test_junit_lets_a_revision_pass_whose_findings_are_let_pass() -> None:
    passed = case(report(replace(FOUND, severity=Severity.WARNING)), Demands(fail_on=Severity.ERROR))

    assert passed.find("failure") is None
    assert "EV204 drop-column" in (passed.findtext("system-out") or "")


def test_junit_fails_a_gap_where_that_is_asked() -> None:
    gap = replace(GAP, severity=Severity.WARNING)

    assert case(report(gap), Demands()).find("failure") is None
    assert case(report(gap), Demands(strict=True)).find("failure") is not None


def test_junit_fails_a_compatibility_that_falls_short() -> None:
    failed = case(report(FOUND), Demands(required=Level.FULL), "compatibility")

    assert [each.get("message") for each in failed.findall("failure")] == ["FULL is required"]


def test_junit_counts_revisions_that_fail() -> None:
    tree = xml(junit.render(report(FOUND, FOUND), root=ROOT, demands=Demands()))

    assert (tree.get("tests"), tree.get("failures")) == ("2", "1")


def test_junit_has_a_case_for_each_file_of_settings() -> None:
    setting = replace(FOUND, revision="", place=Place(ROOT / "pyproject.toml", 4))
    entry = replace(FOUND, revision="", place=Place(ROOT / "evolve-baseline.jsonl", 2))

    for name in ("pyproject.toml", "evolve-baseline.jsonl"):
        assert case(report(setting, entry), Demands(), name).find("failure") is not None


@pytest.mark.parametrize("name", sorted(set(RENDER) - {"gitlab", "text"}))
@pytest.mark.parametrize("found", [report(), Report((), (), report().coverage.__class__())])
def test_a_note_is_told(name: str, found: Report) -> None:
    noted = replace(found, notes=("0002 stands for 2 revisions that are gone",))

    assert "0002 stands for 2 revisions that are gone" in html.unescape(RENDER[name](noted))


@pytest.mark.parametrize(
    ("file", "language"), [("pyproject.toml", "toml"), ("evolve-baseline.jsonl", "json"), ("1.sql", "sql")]
)
def test_markdown_names_the_language_of_a_line(file: str, language: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("what = 1\n")

    shown = markdown.render(report(replace(FOUND, place=Place(tmp_path / file, 1))), root=tmp_path)

    assert f"```{language}\nwhat = 1\n```" in shown


def test_text_keeps_prose_and_marks_within_a_narrow_terminal(tmp_path: Path) -> None:
    (tmp_path / "1.sql").write_text(f"SELECT {'x' * 80};\n")
    advice = "leave out columns that are updated often, or give the table a fillfactor and measure"
    finding = replace(FOUND, place=Place(tmp_path / "1.sql", 1), fix=advice, safe=())

    shown = click.unstyle(text.render(report(finding), root=tmp_path, width=40)).splitlines()

    assert [line for line in shown if len(line) > 40] == [f"    1 | SELECT {'x' * 80};"]


@pytest.mark.parametrize(
    ("found", "sign"), [(report(FOUND), "❌"), (report(replace(FOUND, severity=Severity.INFO)), "✅")]
)
def test_markdown_says_at_once_whether_it_passes(found: Report, sign: str) -> None:
    assert markdown.render(found, root=ROOT).split("\n")[:2][1].startswith(f"### {sign} evolve lint")


# -- limits --------------------------------------------------------------------------------------------------
def test_markdown_is_cut_where_a_forge_would_refuse_it() -> None:
    text = markdown.render(report(*[replace(FOUND, why="because " * 40)] * 300), root=ROOT)

    assert len(text) <= 65_536
    assert re.search(r"\*\*\d+ more blocks had no room in this comment\*\*", text)
    assert text.count("<details>") == text.count("</details>") > 10


def test_markdown_that_fits_is_whole() -> None:
    text = markdown.render(report(*[FOUND] * 30), root=ROOT)

    assert text.count("<details>") == 30
    assert "no room" not in text


def test_markdown_begins_with_what_a_later_run_finds_it_by() -> None:
    assert markdown.render(report(), root=ROOT).split("\n")[0] == markdown.MARKER


def test_github_says_where_the_annotations_are_that_it_does_not_show() -> None:
    first = github.render(report(*[FOUND] * 23), root=ROOT).split("\n")[0]

    assert first.startswith("::notice ")
    assert "GitHub shows 10 of 23 errors; all are in the log of this step" in first


def test_github_is_quiet_where_there_is_nothing_to_say() -> None:
    assert github.render(report(), root=ROOT).startswith("evolve lint: nothing found in 1 revision. FULL")
