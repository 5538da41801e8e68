"""Pages of lint rules as tests: every example of a page is a history of revisions with the findings it must have.

    class TestPages(RulePages):
        rules = (NoSerialKeys(),)

pytest collects the subclass; its name must begin with "Test". A page is the `.md` file beside the rule's module:

    # ACME101 no-serial-keys          id and name, then the lead
    ## Unsafe                         at least one; ## Unsafe: a title, for more of them
    ## Safe                           at least one
    ## When to allow it

Fenced Python blocks under one heading are successive revisions of one history, each with its `upgrade()`; `op` and `sa`
are imported. `# finding: ACME101 EV105` marks a line and names all that must be found there; nothing else may be found.
A block that opens with "```python app/models.py" is that file of the project, beside alembic.ini; "env.py" is that of
Alembic, and without it each revision has a transaction. One that opens with "```python beside" builds on what the block
before it builds on. One that opens with "```python was" is what the next block was where the branch left: the example
then is what is new since that commit.
One that opens with "```python models old" holds the models of the release that runs before the example, "```python
models new" those of the release that goes with it, and "```python models" those of both; under `## Setup` they go with
every example that has none. `Base`, the names of SQLAlchemy and the usual types are imported. Without one, nothing is
known of models.
Sizes of tables stand in a block "```toml facts", see `page_facts`. A block under `## Setup` runs first. What every
history starts from is `SETUP`, applied and in use.
A heading that ends in a version, `## Safe: keep both values (PostgreSQL 18)`, is for that major version and later:
the example is judged as for that version, and runs on no older server. In one that ends in "(downgrade)" what
`downgrade()` does is judged too.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, ClassVar

# Revisions are read in a forked process: what is imported here, none of the many has to import.
import evolve.revisions.capture  # noqa: F401
from evolve.app.lint_revisions import Options, ask, lint
from evolve.compat.models import Models
from evolve.compat.read_models import read_models
from evolve.compat.source import Code, OneFile
from evolve.lint.model import Finding, Report
from evolve.lint.rule import Rule
from evolve.revisions.models import Releases
from evolve.revisions.project import Project, find_project
from evolve.testing.page_facts import facts_of

if TYPE_CHECKING:
    import pytest

SETUP = """
def upgrade():
    op.execute("CREATE TYPE order_status AS ENUM ('new', 'paid')")
    op.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), email varchar(50) NOT NULL, "
        "created_at timestamptz NOT NULL DEFAULT now())"
    )
    op.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL, email text, "
        "total numeric(10,2) NOT NULL, quantity integer, note varchar(50), status order_status NOT NULL DEFAULT 'new')"
    )
    op.execute("CREATE INDEX orders_user_id_status ON orders (user_id, status)")
    op.execute(
        "CREATE TABLE events (id bigint, year integer NOT NULL, kind text) PARTITION BY LIST (year)"
    )
    op.execute("CREATE TABLE events_2026 PARTITION OF events FOR VALUES IN (2026)")
    op.execute("INSERT INTO users SELECT n, 'user ' || n, n || '@example.org' FROM generate_series(1, 500) n")
    op.execute("INSERT INTO orders SELECT n, n, n || '@example.org', n, 1, 'note' FROM generate_series(1, 500) n")
    op.execute("INSERT INTO events SELECT n, 2026, 'click' FROM generate_series(1, 500) n")
"""

_CONFIGURATION = """
[alembic]
script_location = migrations
prepend_sys_path = .
# Nobody connects. It names the driver, whose account of transactions would else be that of what is installed.
sqlalchemy.url = postgresql+psycopg://localhost/example
"""
_ENVIRONMENT = """
from alembic import context

context.configure(transaction_per_migration=True)
"""
_HEADER = """
from alembic import op
import sqlalchemy as sa

revision = {revision!r}
down_revision = {down_revision!r}
""".lstrip()
_MODELS_HEADER = """
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Column, Computed, Enum, ForeignKey, Identity, Integer, Numeric, String, Table, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship


class Base(DeclarativeBase):
    pass
""".lstrip()
_FENCE = re.compile(r"^```python(?: beside)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BESIDE = re.compile(r"^```python( beside)?\n", re.MULTILINE)
_WAS_FENCE = re.compile(r"^```python was\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_FENCE = re.compile(r"^```python (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MODELS_FENCE = re.compile(r"^```python models(?: (old|new))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"[ \t]*# finding: (?P<rules>[A-Z]+\d+(?:[ ,]+[A-Z]+\d+)*)[ \t]*$")
_HEADINGS = ("Setup", "Unsafe", "Safe", "When to allow it")
_DOWNGRADE = "(downgrade)"
_NEEDS = re.compile(r"\(PostgreSQL (?P<major>\d+)\)$")


@dataclass(frozen=True, slots=True)
class Marked:
    """A finding that a page promises: the rule's id, the number of the block from 0, and the line in it from 1."""

    rule: str
    block: int
    line: int


@dataclass(frozen=True, slots=True)
class Example:
    """One heading of a page.

    Args:
        setup: blocks that run before and are in use, `SETUP` the first of them.
        blocks: successive revisions, their marks taken away.
        needs: the oldest major version that it is for; None where it is for every one.
        files: further files of the project, by their paths in it.
        beside: numbers of the blocks that build on what the one before them builds on.
        was: what the first block was where the branch left; None where it is new.
        models: the source of each release's models, "old" and "new"; those that are not known are left out.
    """

    rule: Rule
    heading: str
    setup: tuple[str, ...]
    blocks: tuple[str, ...]
    marked: frozenset[Marked]
    needs: int | None = None
    files: tuple[tuple[str, str], ...] = ()
    beside: frozenset[int] = frozenset()
    was: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def safe(self) -> bool:
        return self.heading.startswith("Safe")

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.heading}"


def examples(rule: Rule) -> tuple[Example, ...]:
    """Those under the Safe and Unsafe headings of the rule's page, in its order."""
    sections = list(_sections(rule.page))
    setup = tuple(block for heading, text in sections if heading == "Setup" for block in _FENCE.findall(text))
    shared = _models("".join(text for heading, text in sections if heading == "Setup"))
    return tuple(
        _example(rule, heading, (SETUP, *setup), text, shared)
        for heading, text in sections
        if heading.startswith(("Safe", "Unsafe"))
    )


def write_project(directory: Path, example: Example) -> Project:
    """Write the example as an Alembic project; its revisions are setup0 and on, then block0 and on."""
    versions = directory / "migrations" / "versions"
    versions.mkdir(parents=True)
    (directory / "alembic.ini").write_text(_CONFIGURATION, encoding="utf-8")
    for name, text in (("env.py", _ENVIRONMENT), *example.files):
        file = directory / ("migrations/env.py" if name == "env.py" else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    before: str | None = None
    for number, text in enumerate(example.setup):
        _write_revision(versions, f"setup{number}", before, text)
        before = f"setup{number}"
    if example.was is not None:
        _write_revision(versions, "block0", before, example.was)
        _commit(directory)
    following = before
    for number, text in enumerate(example.blocks):
        before = before if number in example.beside else following
        following = f"block{number}"
        _write_revision(versions, following, before, text)
    return find_project(directory)


def _write_revision(versions: Path, revision: str, down_revision: str | None, text: str) -> None:
    header = _HEADER.format(revision=revision, down_revision=down_revision)
    (versions / f"{revision}.py").write_text(header + text, encoding="utf-8")


def _commit(directory: Path) -> None:
    if shutil.which("git") is None:
        import pytest

        pytest.skip("there is no git on the PATH")
    who = ("-c", "user.name=evolve", "-c", "user.email=evolve@localhost", "-c", "commit.gpgsign=false")
    for arguments in (("init", "--quiet"), ("add", "."), (*who, "commit", "--quiet", "--message", "before")):
        subprocess.run(["git", "-C", str(directory), *arguments], check=True)  # noqa: S607  # the user's own git


def lint_example(directory: Path, example: Example, rules: Sequence[Rule]) -> Report:
    """Read and judge the example's revisions as `evolve lint` would, those of its setup being in use.

    Rules that are opt-in look at the examples of their own page alone.
    """
    project = write_project(directory, example)
    first = f"setup{len(example.setup) - 1}:heads"
    question = ask(project, revisions=first) if example.was is None else ask(project, since="HEAD")
    options = Options(
        time_limit=1.0,
        enable=(example.rule.id,),
        facts=facts_of(example.rule.page),
        downgrades=example.heading.endswith(_DOWNGRADE),
    )
    if example.needs is not None:
        options = replace(options, postgres_version=example.needs)
    releases = Releases(
        _read(directory, example.models.get("old")), _read(directory, example.models.get("new"))
    )
    return lint(project, question, options, rules, releases=releases)


def found(report: Report) -> frozenset[Marked]:
    """What the report found, in the terms of the page."""
    offset = _HEADER.count("\n")
    return frozenset(
        Marked(finding.rule, int(finding.place.file.stem.removeprefix("block")), finding.place.line - offset)
        for finding in report.findings
    )


class RulePages:
    """Attributes:
    rules: those whose pages are tested.
    others: further rules that look at the examples, and whose findings must be marked as well.
    """

    rules: ClassVar[Sequence[Rule]]
    others: ClassVar[Sequence[Rule]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each page, or for each of its examples."""
        if "rule" in metafunc.fixturenames:
            metafunc.parametrize("rule", self.rules, ids=lambda rule: rule.name)
        if "example" in metafunc.fixturenames:
            all_examples = [example for rule in self.rules for example in examples(rule)]
            metafunc.parametrize("example", all_examples, ids=str)

    def test_page_is_complete(self, rule: Rule) -> None:
        """The title names the rule, the lead says something, and the headings are those of every page."""
        title, _, rest = rule.page.partition("\n")
        _claim(title == f"# {rule.id} {rule.name}", f"the title is {title!r}")
        _claim(bool(rest.split("##")[0].strip()), "there is a lead")
        headings = [heading for heading, _ in _sections(rule.page)]
        for heading in headings:
            plain = _NEEDS.sub("", heading).strip()
            known = any(plain == name or plain.startswith(f"{name}:") for name in _HEADINGS)
            _claim(known, f"{heading!r} is one of {_HEADINGS}")
        for name in _HEADINGS[1:]:
            _claim(any(heading.startswith(name) for heading in headings), f"there is a heading {name!r}")
        own = [mark for example in examples(rule) for mark in example.marked if mark.rule == rule.id]
        _claim(bool(own), "an unsafe example is marked with the rule's own id")

    def test_findings_are_those_marked(self, example: Example, tmp_path: Path) -> None:
        """Everything that is found is marked, and everything marked is found."""
        report = lint_example(tmp_path, example, (*self.rules, *self.others))
        _claim(found(report) == example.marked, _difference(report, example))

    def test_safe_forms_are_clean(self, example: Example, tmp_path: Path) -> None:
        """What a finding offers instead, in the user's names, has no finding of its own."""
        rules = (*self.rules, *self.others)
        report = lint_example(tmp_path / "unsafe", example, rules)
        # Those of other rules are tested where their own pages are.
        own = [finding for finding in report.findings if finding.safe and finding.rule == example.rule.id]
        for number, finding in enumerate(own):
            offered = safe_form(example, finding)
            left = lint_example(tmp_path / f"safe{number}", offered, rules)
            _claim(not left.findings, f"{finding.safe} is clean: {left.findings}")


def safe_form(example: Example, finding: Finding) -> Example:
    """The example with what `finding` offers instead of its statement; what stands before it stays."""
    block = int(finding.place.file.stem.removeprefix("block"))
    line = finding.place.line - _HEADER.count("\n")
    before = "".join(example.blocks[block].splitlines(keepends=True)[: line - 1])
    kept = (before,) if _is_complete(before) else ()
    bodies = tuple("def upgrade():\n" + indent(body, "    ") + "\n" for body in finding.safe)
    return Example(
        example.rule,
        f"Safe form: {example.heading}",
        (*example.setup, *example.blocks[:block]),
        (*kept, *bodies),
        frozenset(),
        example.needs,
        example.files,
        was=example.was,
        models=example.models,
    )


def _is_complete(code: str) -> bool:
    """False for a function without a body, and for an open bracket or block."""
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return "upgrade" in code


def _sections(page: str) -> Iterator[tuple[str, str]]:
    """Each second-level heading with what stands under it."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    yield from zip((heading.strip() for heading in parts[1::2]), parts[2::2], strict=True)


def _models(text: str) -> dict[str, str]:
    """The source of the models of each release, "old" and "new"."""
    found: dict[str, str] = {}
    for release, source in _MODELS_FENCE.findall(text):
        for each in (release,) if release else ("old", "new"):
            found[each] = source
    return found


def _read(directory: Path, source: str | None) -> Models | None:
    if source is None:
        return None
    file = directory / "models.py"
    text = _MODELS_HEADER + source
    return read_models(Code(OneFile(file, text), [directory]), [file], file.name)


def _example(
    rule: Rule, heading: str, setup: tuple[str, ...], text: str, models: Mapping[str, str]
) -> Example:
    marked: set[Marked] = set()
    plain: list[str] = []
    for number, block in enumerate(_FENCE.findall(text)):
        lines = []
        for line_number, line in enumerate(block.splitlines(), 1):
            mark = _MARK.search(line)
            if mark is not None:
                ids = re.split(r"[ ,]+", mark["rules"])
                marked.update(Marked(rule_id, number, line_number) for rule_id in ids)
            lines.append(_MARK.sub("", line))
        plain.append("\n".join(lines) + "\n")
    needs = _NEEDS.search(heading)
    version = int(needs["major"]) if needs else None
    beside = frozenset(number for number, word in enumerate(_BESIDE.findall(text)) if word)
    was = _WAS_FENCE.search(text)
    return Example(
        rule,
        heading,
        setup,
        tuple(plain),
        frozenset(marked),
        version,
        tuple(_FILE_FENCE.findall(text)),
        beside,
        was[1] if was else None,
        _models(text) or models,
    )


def _difference(report: Report, example: Example) -> str:
    missing = example.marked - found(report)
    surplus = found(report) - example.marked
    return f"marked and not found: {sorted(map(str, missing))}; found and not marked: {sorted(map(str, surplus))}"


def _claim(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)
