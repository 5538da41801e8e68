"""Write the revision of a phase: through the project's own template, as a careful person would, and all at once."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.util import rev_id, template_to_file

from evolve.errors import EvolveError, Misuse
from evolve.files import write_whole
from evolve.plan.gate_sql import FEW, Conditions
from evolve.plan.model import Part, PhaseName
from evolve.plan.wording import conditions
from evolve.revisions.gate_operation import escape_colons
from evolve.revisions.project import Project
from evolve.revisions.run import RevisionBroken, load_scripts
from evolve.sql.statements import Statement

_WIDTH = 88  # ruff's and black's own, so that their formatters leave our lines alone
_INDENT = "    "
_GATE_COMMENT = "ACCESS SHARE: it reads what must be true before this revision, and stops it otherwise."
_FILL_COMMENT = f" Where no more than {FEW} rows need work, as in a new database, it does it."
_IDENTIFIERS = frozenset({"revision", "down_revision", "branch_labels", "depends_on"})


class BrokenTemplate(Misuse):
    def __init__(self, template: Path, reason: str) -> None:
        super().__init__(
            f'the template "{template}" gives no usable revision: {reason}',
            fix="compare it with Alembic's own: alembic init /tmp/fresh, then /tmp/fresh/script.py.mako",
        )


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A revision to be written.

    Args:
        revision: its id, chosen before so that the manifest can name it first.
        change: id of the change it belongs to.
        depends_on: ids that must be applied before it, on another branch.
        undoes: the revision that it takes back; `part` is then what takes it back.
    """

    revision: str
    change: str
    phase: PhaseName
    part: Part
    depends_on: tuple[str, ...] = ()
    undoes: str | None = None

    @property
    def message(self) -> str:
        """First line of the file; the template pastes it into a docstring, so nothing in it may end that."""
        phase = f"Undo {self.phase}" if self.undoes else self.phase.capitalize()
        text = f"{phase}: {self.part.title}"
        return " ".join(re.sub(r'["\\\x00-\x1f]', " ", text).split())


def new_revision_id() -> str:
    """An id as Alembic makes them."""
    return str(rev_id())


def write_revision(project: Project, new: NewRevision, head: str | None) -> Path:
    """Write `new` on top of `head` and return its file.

    The file appears whole or not at all. The project's own hooks for new revisions run after that.

    Raises:
        CannotWrite: the version directory cannot be written to.
        BrokenTemplate: the project's `script.py.mako` does not render.
        RevisionBroken: Alembic cannot read the history as it is.
    """
    with _alembic_at(project):
        scripts = _Scripts.of(project)
        written = scripts.generate(new, head)
        if written is None:
            raise BrokenTemplate(Path(scripts.dir, "script.py.mako"), "it declares no revision")
        return project.root / written.path


def write_plain_revision(project: Project, message: str, upgrades: str, downgrades: str) -> Path:
    """Write a revision of no change on top of the one head and return its file.

    Raises:
        CannotWrite, BrokenTemplate, RevisionBroken: as `write_revision`.
    """
    with _alembic_at(project):
        scripts = load_scripts(project)
        script = scripts.generate_revision(
            new_revision_id(),
            message,
            head="head",
            imports="",
            upgrades=textwrap.indent(upgrades, _INDENT).removeprefix(_INDENT),
            downgrades=textwrap.indent(downgrades, _INDENT).removeprefix(_INDENT),
        )
        if script is None:
            raise BrokenTemplate(Path(scripts.dir, "script.py.mako"), "it declares no revision")
        return project.root / script.path


def rehearse(project: Project, revisions: Sequence[NewRevision], head: str | None) -> None:
    """Do all of `write_revision` but the writing: what it would refuse is refused while nothing is written yet.

    Raises:
        BrokenTemplate, RevisionBroken: as `write_revision` would.
    """
    with _alembic_at(project):
        scripts = _Rehearsal.of(project)
        for new in revisions:
            with contextlib.suppress(_Rehearsed):
                scripts.generate(new, head)


@contextlib.contextmanager
def _alembic_at(project: Project) -> Iterator[None]:
    # Alembic and its hooks report on stdout, which is for results; relative names start where Alembic is run.
    with contextlib.redirect_stdout(sys.stderr), contextlib.chdir(project.root):
        try:
            yield
        except EvolveError:
            raise
        except (Exception, SystemExit) as error:  # a revision file, a hook or the template can raise anything
            raise RevisionBroken(error) from error


class _Scripts(ScriptDirectory):
    """Alembic's script directory, whose new files are finished before they get their name."""

    new: NewRevision

    def generate(self, new: NewRevision, head: str | None) -> Script | None:
        self.new = new
        return self.generate_revision(
            new.revision,
            new.message,
            head=head or "base",
            imports="",
            upgrades=_upgrades(new),
            downgrades=_body(list(_statements(new.part.undo))),
            depends_on=new.depends_on or None,
        )

    @classmethod
    def of(cls, project: Project) -> _Scripts:
        plain = load_scripts(project)
        scripts = cls(
            plain.dir,
            file_template=plain.file_template,
            truncate_slug_length=plain.truncate_slug_length,
            version_locations=plain.version_locations,
            sourceless=plain.sourceless,
            output_encoding=plain.output_encoding,
            timezone=plain.timezone,
            hooks=plain.hooks,
            recursive_version_locations=plain.recursive_version_locations,
            messaging_opts=plain.messaging_opts,
        )
        scripts.revision_map = plain.revision_map  # read already
        return scripts

    def _generate_template(self, src: Path, dest: Path, **kw: object) -> None:
        with tempfile.TemporaryDirectory() as directory:
            draft = Path(directory, "revision.py")
            try:
                template_to_file(src, draft, "utf-8", append_with_newlines=False, **kw)
            except Exception as error:  # Mako and the code in a template can raise anything
                raise BrokenTemplate(src, " ".join(str(error).split())) from error
            text = draft.read_text(encoding="utf-8")
        self._keep(dest, _finished(text, self.new, src).encode(self.output_encoding))

    def _keep(self, path: Path, content: bytes) -> None:
        write_whole(path, content)


class _Rehearsed(Exception):
    """Everything but the writing has worked."""


class _Rehearsal(_Scripts):
    """Makes no directory and no file."""

    def _ensure_directory(self, path: Path) -> None:
        pass

    def _keep(self, path: Path, content: bytes) -> None:
        raise _Rehearsed


# -- the file -----------------------------------------------------------------------------------------------
def _finished(text: str, new: NewRevision, template: Path) -> str:
    """`text` with the module attribute `evolve` behind the other identifiers."""
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise BrokenTemplate(template, f"line {error.lineno}: {error.msg}") from error
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    if not {"upgrade", "downgrade"} <= functions:
        raise BrokenTemplate(template, "it has no upgrade() or no downgrade()")
    # What takes back a revision that only asked has nothing to do.
    idle = not new.part.statements and not conditions(new.part)
    if not (idle or re.search(r"\bop\.(execute|evolve_gate)\(", text)) or not _binds_op(body):
        raise BrokenTemplate(template, "it does not say `from alembic import op` and ${upgrades}")
    identifiers = [node for node in body if _assigns(node) & _IDENTIFIERS]
    needed = {"revision", "down_revision", *(["depends_on"] if new.depends_on else ())}
    missing = needed.difference(*map(_assigns, identifiers))
    if missing:
        raise BrokenTemplate(template, f"it declares no {sorted(missing)[-1]}")
    lines = [line.rstrip() for line in text.splitlines()]
    for node in identifiers:
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = re.sub(r"'(\w*)'", r'"\1"', lines[number])  # repr() and formatters disagree
    last = max(node.end_lineno or 0 for node in identifiers)
    undoes = f', "undoes": {python_string(new.undoes)}' if new.undoes else ""
    attribute = (
        f'evolve = {{"change": {python_string(new.change)}, "phase": {python_string(new.phase)}{undoes}}}'
    )
    lines[last:last] = ["", "# read by evolve: the change in flight that this revision belongs to", attribute]
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(body) > 1:
        end = first.end_lineno or 0
        if end < len(lines) and lines[end].strip():
            lines.insert(end, "")  # formatters want it
    return "\n".join(lines) + "\n"


def _binds_op(body: Sequence[ast.stmt]) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and any((name.asname or name.name) == "op" for name in node.names)
        for node in body
    )


def _assigns(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def _upgrades(new: NewRevision) -> str:
    gate = _gate(new.change, conditions(new.part))
    return _body([*gate, *_statements(new.part.statements)])


def _body(blocks: list[str]) -> str:
    text = "\n\n".join(blocks) or "pass"
    # The template has indented the first line already.
    return textwrap.indent(text, _INDENT, lambda line: bool(line.strip())).removeprefix(_INDENT)


# -- statements ---------------------------------------------------------------------------------------------
def _gate(change: str, known: Conditions) -> Iterator[str]:
    if not known:
        return
    lines = [
        *_comment(_GATE_COMMENT + (_FILL_COMMENT if known.fill else ""), 4),
        "op.evolve_gate(",
        f"{_INDENT}{python_string(change)},",
    ]
    lines += _mappings(
        "fill",
        [
            {"table": fill.table, "set": fill.assignments, "where": fill.where}
            | ({"backfill": fill.backfill} if fill.backfill not in ("", change) else {})
            for fill in known.fill
        ],
    )
    for name, values in (
        ("no_rows", known.no_rows),
        ("validated", known.validated),
        ("valid_indexes", known.valid_indexes),
        ("enabled_triggers", known.enabled_triggers),
    ):
        lines += _texts(name, values)
    lines += _mappings(
        "holds", [{"condition": condition, "meaning": meaning} for condition, meaning in known.holds]
    )
    lines += _mappings(
        "lost",
        [
            {
                "table": rows.table,
                "where": rows.where,
                "meaning": rows.meaning,
                "accepted": str(rows.accepted),
                "fix": rows.fix,
            }
            for rows in known.lost
        ],
    )
    if known.phase:
        lines.append(f"{_INDENT}phase={python_string(known.phase)},")
    lines += _texts("unmapped", known.unmapped)
    lines += _texts("unused", known.unused)
    yield "\n".join([*lines, ")"])


def _texts(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"{_INDENT}{name}=["
        yield from (f"{_INDENT * 2}{python_string(value)}," for value in values)
        yield f"{_INDENT}],"


def _mappings(name: str, values: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if not values:
        return
    yield f"{_INDENT}{name}=["
    for value in values:
        yield f"{_INDENT * 2}{{"
        for key, text in value.items():
            yield f"{_INDENT * 3}{python_string(key)}: {python_string(text)},"
        yield f"{_INDENT * 2}}},"
    yield f"{_INDENT}],"


def _statements(statements: Sequence[Statement]) -> Iterator[str]:
    for transactional, group in groupby(statements, key=lambda statement: statement.transactional):
        if transactional:
            for statement in group:
                yield "\n".join(_statement(statement, 4))
        else:
            inner = ["\n".join(_statement(statement, 8)) for statement in group]
            yield "with op.get_context().autocommit_block():\n" + textwrap.indent(
                "\n\n".join(inner), _INDENT, lambda line: bool(line.strip())
            )


def _statement(statement: Statement, indent: int) -> list[str]:
    lock = str(statement.lock) if statement.lock is not None else "No table lock"
    lines = _comment(f"{lock}: {statement.why}.", indent)
    if statement.allow:
        lines.append(f"# evolve: allow[{', '.join(statement.allow)}] because the line above says why")
    return [*lines, execute(statement.sql, indent)]


def _comment(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH - indent,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def execute(sql: str, indent: int) -> str:
    """A call of `op.execute` for `sql`, laid out so that no formatter changes it; `indent` is where it will stand."""
    sent = escape_colons(sql)
    joined = " ".join(line.strip() for line in sent.splitlines())
    if _printable(sent) and any("\n" in body[0] for body in _BODY.finditer(sent)):
        # Line by line: in the body of a function that an operator wrote, blanks may mean something.
        lines = "\n".join(f"{_INDENT}{_escaped(line)}" for line in sent.splitlines(keepends=True))
        return f"op.execute(\n{lines}\n)"
    if "$" not in sent and "--" not in sent and not _literal_spans_lines(sent):
        line = f"op.execute({python_string(joined)})"
        if '"' not in joined and "\\" not in joined and len(line) + indent <= _WIDTH:
            return line
    if _literal_spans_lines(sent) or not _printable(sent):
        return f"op.execute({_escaped(sent)})"
    quoted = sent.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'op.execute("""\n{textwrap.indent(quoted, _INDENT)}\n""")'


# Text in dollar quotes, other than that of evolve's own functions and blocks.
_BODY = re.compile(r"\$(?!evolve\d*\$)((?:[^\W\d]\w*)?)\$.*?\$\1\$", re.DOTALL)


def _literal_spans_lines(sql: str) -> bool:
    """True where indenting a line of `sql` would change a string or a name."""
    literals = re.finditer(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*""", sql)
    return any("\n" in literal[0] for literal in literals)


def _printable(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def python_string(text: str) -> str:
    """A Python literal for `text` in the quotes that formatters prefer."""
    if not _printable(text) or "\n" in text:
        return _escaped(text)
    escaped = text.replace("\\", "\\\\")
    if '"' in text and text.count('"') > text.count("'"):
        return "'" + escaped.replace("'", "\\'") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """A literal on one line, with everything unprintable written as an escape."""
    inner = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.replace("\\", "\\\\")
    )
    return '"' + inner.replace('"', '\\"') + '"'
