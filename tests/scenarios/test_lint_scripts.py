"""`evolve lint` on files of plain SQL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support.command_line import evolve

HAZARD = "ALTER TABLE orders ALTER email SET NOT NULL;\n"


def lint(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return evolve("lint", *arguments, "--format", "json", cwd=directory)


def found(done: subprocess.CompletedProcess[str]) -> list[tuple[str, int]]:
    return [(each["name"], each["line"]) for each in json.loads(done.stdout)["findings"]]


def test_a_file_needs_no_project(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\n" + HAZARD)

    done = lint(tmp_path, "a.sql")

    assert (done.returncode, found(done)) == (1, [("set-not-null-scan", 2)])


def test_files_are_one_rollout_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("CREATE TABLE orders (id bigint PRIMARY KEY, email text);\n")
    (tmp_path / "b.sql").write_text(HAZARD)

    assert found(lint(tmp_path, "a.sql", "b.sql")) == []
    assert found(lint(tmp_path, "b.sql", "a.sql")) == [("set-not-null-scan", 1)]


def test_each_file_has_transactions_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("BEGIN;\nALTER TABLE orders ADD COLUMN a int;\nCOMMIT;\n")
    (tmp_path / "b.sql").write_text("BEGIN;\nALTER TABLE users ADD COLUMN a int;\nCOMMIT;\n")

    assert found(lint(tmp_path, "a.sql", "b.sql")) == []


def test_transactions_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("CREATE INDEX CONCURRENTLY by_email ON orders (email);\n")

    assert found(lint(tmp_path, "a.sql")) == []
    assert found(lint(tmp_path, "a.sql", "--in-transaction")) == [("concurrently-in-transaction", 1)]


@pytest.mark.parametrize(
    "comment",
    [
        "-- evolve: allow[set-not-null-scan] because it is small\n{}",
        "{} -- evolve: allow[EV101] because it is small",
    ],
)
def test_a_comment_allows(tmp_path: Path, comment: str) -> None:
    (tmp_path / "a.sql").write_text(comment.format(HAZARD.strip()) + "\n")

    assert (lint(tmp_path, "a.sql").returncode, found(lint(tmp_path, "a.sql"))) == (0, [])


def test_a_comment_that_allows_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- evolve: allow[drop-table] because it is empty\nSELECT 1;\n")

    assert found(lint(tmp_path, "a.sql")) == [("allow-unused", 1)]


def test_standard_input(tmp_path: Path) -> None:
    done = evolve("lint", "-", "--format", "json", cwd=tmp_path, stdin=HAZARD)

    assert found(done) == [("set-not-null-scan", 1)]


def test_gaps_fail_when_strict(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("DO $$ BEGIN EXECUTE current_user; END $$;\n")

    assert [lint(tmp_path, "a.sql").returncode, lint(tmp_path, "a.sql", "--strict").returncode] == [0, 1]


def test_an_allowed_gap_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "-- evolve: allow[do-block-opaque] because it only analyses\nDO $$ BEGIN EXECUTE current_user; END $$;\n"
    )

    assert lint(tmp_path, "a.sql", "--strict").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.sql",), "none.sql cannot be read: No such file or directory"),
        (("latin.sql",), "latin.sql cannot be read: byte 8 is not UTF-8"),
        (("a.sql", "base:heads"), "these are .sql files and ranges of revisions"),
        (("base:heads", "head"), "base:heads, head: one question is about one range of revisions"),
    ],
)
def test_wrong_question(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;")
    (tmp_path / "latin.sql").write_bytes("SELECT 'é'".encode("latin-1"))

    done = lint(tmp_path, *arguments)

    assert (done.returncode, said in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "options",
    [("--since", "main"), ("--window", "2"), ("--unapplied",), ("--downgrades",), ("--old-models", "main")],
)
def test_what_says_nothing_of_files_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\n")

    done = lint(tmp_path, "a.sql", *options)

    assert (done.returncode, f"leave out {options[0]}" in done.stderr) == (2, True)


def test_transactions_of_revisions_are_not_told(tmp_path: Path) -> None:
    done = lint(tmp_path, "--in-transaction")

    assert (done.returncode, "leave out --in-transaction" in done.stderr) == (2, True)


def test_safe_forms_are_sql(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(HAZARD + "CREATE INDEX i ON orders (email);\n")

    done = lint(tmp_path, "a.sql")

    assert [each["safe"] for each in json.loads(done.stdout)["findings"]] == [
        [
            "ALTER TABLE orders ADD CONSTRAINT orders_email_not_null CHECK (email IS NOT NULL) NOT VALID;",
            "ALTER TABLE orders VALIDATE CONSTRAINT orders_email_not_null;",
            "ALTER TABLE orders ALTER COLUMN email SET NOT NULL;\n"
            "ALTER TABLE orders DROP CONSTRAINT orders_email_not_null;",
        ],
        ["CREATE INDEX CONCURRENTLY i ON orders (email);"],
    ]


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        (
            "CREATE INDEX i ON orders (email) WHERE note ~ ':a'",
            "CREATE INDEX CONCURRENTLY i ON orders (email) WHERE note ~ ':a';",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT c CHECK (note LIKE '5%')",
            "ALTER TABLE orders ADD CONSTRAINT c CHECK (note LIKE '5%') NOT VALID;",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT c CHECK (note ~ ':a')",
            "ALTER TABLE orders ADD CONSTRAINT c CHECK (note ~ ':a') NOT VALID;",
        ),
        (
            'ALTER TABLE "a""b".orders ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES "c\'d".users (id)',
            'ALTER TABLE "a""b".orders ADD CONSTRAINT c FOREIGN KEY(id) REFERENCES "c\'d".users (id) NOT VALID;',
        ),
    ],
)
def test_safe_forms_keep_colons_and_quotes(tmp_path: Path, written: str, safe: str) -> None:
    (tmp_path / "a.sql").write_text(f"{written};\n")

    findings = json.loads(lint(tmp_path, "a.sql").stdout)["findings"]

    assert [each["safe"][0] for each in findings if each["safe"]][:1] == [safe]


def test_what_alembic_cannot_say_has_no_safe_form_in_sql(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text('ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES u ("a.b");\n')

    done = lint(tmp_path, "a.sql")

    assert [
        each["safe"] for each in json.loads(done.stdout)["findings"] if each["name"] == "add-fk-validated"
    ] == [[]]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_marks_of_encoding_are_no_difference(tmp_path: Path, ends: bytes, mark: bytes) -> None:
    lines = ["COPY t FROM stdin;", "1\tit's; DROP TABLE t;", "\\.", HAZARD.strip(), ""]
    (tmp_path / "a.sql").write_bytes(mark + ends.join(line.encode() for line in lines))

    assert found(lint(tmp_path, "a.sql")) == [("set-not-null-scan", 4)]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (HAZARD.encode("utf-16"), "it is UTF-16"),
        (b"SELECT 1;\0" + HAZARD.encode(), "character 9 is NUL"),
        ("SELECT 'ü';".encode("latin-1"), "iconv -f LATIN1 -t UTF-8 a.sql"),
    ],
)
def test_text_in_another_encoding_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "a.sql").write_bytes(raw)

    done = lint(tmp_path, "a.sql")

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.sql").mkdir()

    done = lint(tmp_path, "a.sql")

    assert (done.returncode, "a.sql cannot be read: Is a directory" in done.stderr) == (2, True)


def test_nothing_but_a_comment(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- nothing yet\n")
    (tmp_path / "b.sql").write_text("")

    assert (lint(tmp_path, "a.sql", "b.sql").returncode, found(lint(tmp_path, "a.sql", "b.sql"))) == (0, [])


def test_what_only_psql_reads_is_told_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(f"\\set x 1\n\\i other.sql\n{HAZARD}ALTER TABLE :x ADD a int;\n")

    assert found(lint(tmp_path, "a.sql")) == [
        ("unknown-operation", 1),
        ("unknown-operation", 2),
        ("set-not-null-scan", 3),
        ("unread-statement", 4),
    ]
