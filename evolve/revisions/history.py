"""The revisions of a project and how they build on each other, read from their source and never run.

Alembic imports every file to learn its id, so that one failing import hides the whole history; here one bad file costs
one file. Names of revisions (`head`, `label@head`, `ae10`, `head-1`, `+2`) mean what they mean to Alembic.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path

from evolve.errors import Misuse
from evolve.revisions.digest import digest
from evolve.revisions.project import Project
from evolve.values import dataclass

_VARIABLES = ("revision", "down_revision", "depends_on", "branch_labels", "evolve")
_VARIABLE = re.compile(rf"^(?:{'|'.join(_VARIABLES)})\b", re.MULTILINE)
_DEFINITION = re.compile(r"^(?:def|async def|class|@|if|for|with|try)\b", re.MULTILINE)
_ID_IN_TEXT = re.compile(r"^revision\b[^=\n]*=\s*(['\"])([^'\"\n]+)\1", re.MULTILINE)
_PARENT_IN_TEXT = re.compile(r"^down_revision\b[^=\n]*=\s*([^\n]+)", re.MULTILINE)
_RELATIVE = re.compile(r"(?:(?P<label>.+?)@)?(?P<start>\w+)?(?P<steps>[+-]\d+)")
_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)
_LEGACY_FILE = re.compile(r"[a-f0-9]+\.py")


CONFLICT = "a merge left its conflict markers here"
RESERVED = frozenset({"base", "head", "heads"})


@dataclass(frozen=True, slots=True)
class RevisionFile:
    """One revision as its file declares it.

    Args:
        down_revisions: ids it builds on; none for a base, several for a merge.
        depends_on: ids or branch labels it needs first, as written.
        message: first paragraph of its docstring.
        metadata: the module attribute `evolve`, its scalars as text, in the order of the file.
        edited: its code is another one than where the branch left; see `Since`.
        was_there: its id was there where the branch left, whatever has become of it.
        digest: of its bytes as they were read.
        text: its bytes in the place of those that the file holds, as an editor or a fix has them.
        broken: why Python cannot compile it, with the line; None where it can, or where nobody has looked yet.
    """

    revision: str
    down_revisions: tuple[str, ...]
    path: Path
    depends_on: tuple[str, ...] = ()
    branch_labels: tuple[str, ...] = ()
    message: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    broken: BrokenFile | None = None
    edited: bool = False
    was_there: bool = False
    digest: bytes = field(default=b"", repr=False, compare=False)
    text: bytes | None = field(default=None, repr=False, compare=False)


Recall = Callable[[Path, bytes], RevisionFile | None]


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file whose revision cannot be read; `line` counts from 1, 0 where the reason has no line."""

    path: Path
    line: int
    reason: str


class BrokenRevision(Misuse):
    def __init__(self, file: BrokenFile) -> None:
        place = f"{file.path}:{file.line}" if file.line else f"{file.path}"
        super().__init__(
            f"{place} cannot be read: {file.reason}",
            why="Alembic refuses the whole directory of revisions while one of them does not load",
            fix="mend the file, or move it out of the versions directory",
        )
        self.file = file


class DuplicateRevision(Misuse):
    def __init__(self, revision: str, first: Path, second: Path) -> None:
        super().__init__(
            f'two files are revision "{revision}": {first} and {second}',
            why="Alembic would run one of them, and nobody can say which",
            fix="give one of them a new id, and correct the down_revision of those that build on it",
        )


class ReservedRevision(Misuse):
    def __init__(self, revision: str, path: Path) -> None:
        super().__init__(
            f'{path} calls its revision "{revision}"',
            why="Alembic means the ends of the history by base, head and heads, and loses a revision of such a name",
            fix="give it another id, and correct the down_revision of those that build on it",
        )


class DuplicateLabel(Misuse):
    def __init__(self, label: str, first: str, second: str) -> None:
        super().__init__(
            f'branch label "{label}" is given to revisions "{first}" and "{second}"',
            fix=f'take it out of the branch_labels of "{second}"',
        )


class MissingRevision(Misuse):
    def __init__(self, missing: str, needed_by: RevisionFile, nearest: Sequence[str] = ()) -> None:
        fix = f"bring the file of that revision back, or correct {needed_by.path}"
        if nearest:
            fix += f"; the nearest id is {nearest[0]}"
        super().__init__(
            f'revision "{needed_by.revision}" builds on "{missing}", which no file declares', fix=fix
        )


class Cycle(Misuse):
    def __init__(self, revisions: Sequence[str], files: Sequence[Path]) -> None:
        round_trip = " → ".join((*revisions, revisions[0]))
        super().__init__(
            f"revisions build on each other in a circle: {round_trip}",
            fix=f"correct the down_revision or depends_on in one of {', '.join(map(str, files))}",
        )


class NoSuchRevision(Misuse):
    def __init__(self, identifier: str, nearest: Sequence[str] = ()) -> None:
        near = f"did you mean {' or '.join(nearest)}? " if nearest else ""
        super().__init__(
            f'there is no revision "{identifier}"', fix=f"{near}`alembic history` lists them all"
        )


class AmbiguousRevision(Misuse):
    def __init__(self, identifier: str, matches: Sequence[str]) -> None:
        super().__init__(
            f'"{identifier}" stands for several revisions: {", ".join(matches[:5])}',
            fix="write more of the id",
        )


class AmbiguousWalk(Misuse):
    def __init__(self, identifier: str, at: str, choices: Sequence[str]) -> None:
        super().__init__(
            f'"{identifier}" has no single answer: at "{at}" the way parts into {", ".join(choices)}',
            fix="name a branch (label@head-1) or a revision",
        )


class WalkedTooFar(Misuse):
    def __init__(self, identifier: str, steps: int) -> None:
        super().__init__(f'"{identifier}" leaves the history: there are not {steps} revisions that way')


class NoStartingPoint(Misuse):
    def __init__(self, identifier: str) -> None:
        super().__init__(
            f'"{identifier}" counts from a revision that is not given',
            fix=f"name it: REV{identifier}",
        )


class MultipleHeads(Misuse):
    def __init__(self, identifier: str, heads: Sequence[str]) -> None:
        super().__init__(
            f'"{identifier}" asks for one head and there are {len(heads)}: {", ".join(heads)}',
            why="Alembic cannot tell which of them to go to",
            fix="join them with `alembic merge heads`, name one, or say `heads`",
        )


class NotAncestor(Misuse):
    def __init__(self, lower: str, upper: str, reversed_: bool = False) -> None:
        fix = f"turn it round: {upper}:{lower}" if reversed_ else "name two revisions of one branch"
        super().__init__(f'"{upper}" does not build on "{lower}", so {lower}:{upper} is empty', fix=fix)


@dataclass(frozen=True, slots=True)
class History:
    """All revisions of a project.

    Args:
        revisions: by id, in the order of the files.
        broken: files that have no readable id, or whose text does not parse.
        labels: branch label → the revision that carries it.
        children: id → ids whose down_revision it is, in the order of the files.
        heads: revisions that none builds on by its down_revision.
        needs: id → everything it needs first: down revisions, then the revisions `depends_on` leads to.
    """

    revisions: Mapping[str, RevisionFile]
    broken: tuple[BrokenFile, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    heads: tuple[str, ...] = field(init=False, repr=False)

    def with_texts(self, texts: Mapping[Path, bytes]) -> History:
        """The same revisions, some of them with another text; what they declare is taken to be as it was."""
        if not texts:
            return self
        files = {
            key: replace(file, text=text, digest=digest(text))
            if (text := texts.get(file.path)) is not None
            else file
            for key, file in self.revisions.items()
        }
        return History(files, self.broken, self.labels, self.children, self.needs)

    def __post_init__(self) -> None:
        heads = tuple(revision for revision in self.revisions if not self.children.get(revision))
        object.__setattr__(self, "heads", heads)

    @property
    def bases(self) -> tuple[str, ...]:
        return tuple(revision for revision, file in self.revisions.items() if not file.down_revisions)

    @property
    def merges(self) -> tuple[str, ...]:
        return tuple(revision for revision, file in self.revisions.items() if len(file.down_revisions) > 1)

    def head(self, label: str | None = None) -> str | None:
        """The one head; None where there is no revision at all.

        Raises:
            MultipleHeads: there are several, on the branch of `label` where one is given.
        """
        heads = self.heads if label is None else self._on_branch(self.heads, label)
        if len(heads) > 1:
            raise MultipleHeads(f"{label}@head" if label else "head", heads)
        return next(iter(heads), None)

    def ancestors(self, revisions: Iterable[str], *, dependencies: bool = True) -> frozenset[str]:
        """Those revisions and all they build on; `dependencies` follows `depends_on` too."""
        needs = (
            self.needs if dependencies else {key: file.down_revisions for key, file in self.revisions.items()}
        )
        return _closure(revisions, needs)

    def descendants(self, revisions: Iterable[str]) -> frozenset[str]:
        return _closure(revisions, self.children)

    def file(self, identifier: str) -> RevisionFile:
        """The revision that `identifier` stands for.

        Raises:
            NoSuchRevision, AmbiguousRevision, MultipleHeads, AmbiguousWalk, WalkedTooFar: it is not exactly one.
        """
        found = self.resolve(identifier)
        if not found:
            raise NoSuchRevision(identifier, self._nearest(identifier))
        first, *others = found
        if others:
            raise MultipleHeads(identifier, found)
        return self.revisions[first]

    def resolve(self, identifier: str, *, current: Collection[str] | None = None) -> tuple[str, ...]:
        """Ids that `identifier` stands for: none for `base`, several for `heads`.

        Args:
            current: where `+1` and `-1` count from; without it `-1` counts from the heads, as Alembic has it.

        Raises:
            NoSuchRevision, AmbiguousRevision, MultipleHeads, AmbiguousWalk, WalkedTooFar, NoStartingPoint.
        """
        if identifier in self.revisions:
            return (identifier,)
        if identifier in self.labels:
            return (self.labels[identifier],)
        relative = _RELATIVE.fullmatch(identifier)
        if relative is not None:
            return self._walk(identifier, relative, current)
        label, at, name = identifier.rpartition("@")
        branch = label if at else None
        if name == "base":
            if branch is not None:
                self._branch_revision(branch)
            return ()
        if name == "heads":
            return self.heads if branch is None else self._on_branch(self.heads, branch)
        if name == "head":
            head = self.head(branch)
            return (head,) if head is not None else ()
        return (self._match(name, branch),)

    def between(self, lower: str, upper: str) -> tuple[RevisionFile, ...]:
        """Revisions after `lower` up to and with `upper`, in the order in which Alembic would run them.

        Raises:
            NotAncestor: `upper` does not build on `lower`; and all that `resolve` raises.
        """
        below = self.resolve(lower)
        targets = self.resolve(upper, current=below)
        reached = self.ancestors(targets)
        if not reached.issuperset(below):
            raise NotAncestor(lower, upper, reversed_=self.ancestors(below).issuperset(targets))
        return self.order(reached - self.ancestors(below))

    def order(self, revisions: Collection[str]) -> tuple[RevisionFile, ...]:
        """Those revisions, each after all that it needs; branches one after the other, as Alembic runs them."""
        return tuple(self.revisions[revision] for revision in reversed(self._downwards(frozenset(revisions))))

    def unapplied(self, applied: Collection[str]) -> tuple[RevisionFile, ...]:
        """What is left to run on a database whose version table holds `applied`, in order.

        Raises:
            NoSuchRevision: the database has a revision that no file declares.
        """
        for revision in applied:
            if revision not in self.revisions:
                raise NoSuchRevision(revision, self._nearest(revision))
        return self.order(frozenset(self.revisions) - self.ancestors(applied))

    def _downwards(self, todo: frozenset[str]) -> list[str]:
        """From the heads to the bases: along one branch until another branch needs to come first."""
        left = set(todo)
        children_left = dict.fromkeys(todo, 0)
        for key in todo:
            for parent in self.needs[key]:
                if parent in children_left:
                    children_left[parent] += 1
        fronts = [key for key in self.revisions if key in todo and not children_left[key]]
        reach = [set(self.ancestors([key])) for key in fronts]
        output: list[str] = []
        at = 0
        while fronts:
            candidate = fronts[at]
            blocked_by = next((i for i, under in enumerate(reach) if i != at and candidate in under), None)
            if blocked_by is not None:
                at = blocked_by
                continue
            left.discard(candidate)
            output.append(candidate)
            onwards = [key for key in self.needs[candidate] if key in left and key not in fronts]
            if not onwards:
                del fronts[at], reach[at]
                at = max(at - 1, 0)
            elif len(self.needs[candidate]) == 1:
                fronts[at] = onwards[0]
                reach[at].discard(candidate)
            else:
                fronts[at] = onwards[0]
                reach[at] = set(self.ancestors([onwards[0]]))
                fronts.extend(onwards[1:])
                reach.extend(set(self.ancestors([key])) for key in onwards[1:])
        return output

    def _walk(
        self, identifier: str, relative: re.Match[str], current: Collection[str] | None
    ) -> tuple[str, ...]:
        label, start, steps = relative["label"], relative["start"], int(relative["steps"])
        if start is not None:
            origin = self.resolve(f"{label}@{start}" if label and steps < 0 else start)
        elif current is not None:
            origin = self._on_branch(current, label) if label else tuple(current)
        elif steps < 0:
            origin = self.heads if label is None else self._on_branch(self.heads, label)
        else:
            raise NoStartingPoint(identifier)
        if len(origin) > 1:
            raise AmbiguousWalk(identifier, "the start", origin)
        at = origin[0] if origin else None
        for _ in range(abs(steps)):
            if steps > 0:
                choices = self.bases if at is None else self.children.get(at, ())
                if label:
                    choices = self._on_branch(choices, label)
            elif at is None:
                raise WalkedTooFar(identifier, abs(steps))
            else:
                choices = self.revisions[at].down_revisions
                if not choices:
                    at = None
                    continue
            if not choices:
                raise WalkedTooFar(identifier, abs(steps))
            first, *others = choices
            if others:
                raise AmbiguousWalk(identifier, at or "base", choices)
            at = first
        return (at,) if at is not None else ()

    def _on_branch(self, revisions: Iterable[str], label: str) -> tuple[str, ...]:
        """Those on one line with the branch, not counting `depends_on`."""
        branch = self._branch_revision(label)
        line = self.descendants([branch]) | self.ancestors([branch], dependencies=False)
        return tuple(revision for revision in revisions if revision in line)

    def _branch_revision(self, label: str) -> str:
        return self.labels[label] if label in self.labels else self._match(label, None)

    def _match(self, name: str, branch: str | None) -> str:
        """The one id that is `name` or begins with it, on the branch where one is given."""
        if name in self.revisions:
            matches: tuple[str, ...] = (name,)
        else:
            matches = tuple(revision for revision in self.revisions if name and revision.startswith(name))
        if branch is not None:
            matches = self._on_branch(matches, branch)
        if not matches:
            raise NoSuchRevision(f"{branch}@{name}" if branch else name, self._nearest(name))
        first, *others = matches
        if others:
            raise AmbiguousRevision(name, matches)
        return first

    def _nearest(self, identifier: str) -> list[str]:
        return _nearest(identifier, [*self.revisions, *self.labels])


def read_history(project: Project, recall: Recall = lambda *_: None) -> History:
    """Read every revision file of the project.

    Args:
        recall: answers what a file of these contents, given by their digest, was found to declare; None to read it.

    Raises:
        DuplicateRevision, DuplicateLabel, ReservedRevision, Cycle: the files contradict each other or Alembic.
        MissingRevision: a file builds on a revision that none declares.
        BrokenRevision: so it seems, but a file that cannot be read may be the one.
    """
    revisions: dict[str, RevisionFile] = {}
    broken: list[BrokenFile] = []
    for path in revision_paths(project):
        found = read_revision(path, recall)
        if isinstance(found, BrokenFile):
            broken.append(found)
        elif found is not None:
            if found.revision in revisions:
                raise DuplicateRevision(found.revision, revisions[found.revision].path, path)
            revisions[found.revision] = found
            if found.broken is not None:
                broken.append(found.broken)
    return build_history(revisions.values(), tuple(broken))


def build_history(files: Iterable[RevisionFile], broken: tuple[BrokenFile, ...] = ()) -> History:
    """Join revisions into a history; raises as `read_history` does."""
    revisions = {file.revision: file for file in files}
    labels: dict[str, str] = {}
    for file in revisions.values():
        if file.revision in RESERVED:
            raise ReservedRevision(file.revision, file.path)
        for label in file.branch_labels:
            if label in labels or label in revisions:
                raise DuplicateLabel(label, labels.get(label, label), file.revision)
            labels[label] = file.revision

    children: dict[str, list[str]] = {revision: [] for revision in revisions}
    needs: dict[str, tuple[str, ...]] = {}
    for file in revisions.values():
        wanted = [*file.down_revisions, *(labels.get(name, name) for name in file.depends_on)]
        for name in wanted:
            if name not in revisions:
                unreadable = next(
                    (bad for bad in broken if all(bad is not f.broken for f in revisions.values())), None
                )
                if unreadable is not None:
                    raise BrokenRevision(unreadable)
                raise MissingRevision(
                    name, file, _nearest(name, [key for key in revisions if key != file.revision])
                )
        needs[file.revision] = tuple(dict.fromkeys(wanted))
        for parent in dict.fromkeys(file.down_revisions):
            children[parent].append(file.revision)
    _refuse_cycles(needs, revisions)
    return History(
        revisions=revisions,
        broken=broken,
        labels=labels,
        children={revision: tuple(found) for revision, found in children.items()},
        needs=_without_inherited(revisions, needs),
    )


def revision_paths(project: Project) -> Iterator[Path]:
    """Python files of the version directories in Alembic's order; a file reached twice through links comes once."""
    seen: set[str] = set()
    for directory in project.version_directories:
        for path, real in _python_files(directory, recursive=project.recursive):
            if real not in seen:
                seen.add(real)
                yield path


def _python_files(directory: Path, *, recursive: bool) -> Iterator[tuple[Path, str]]:
    """Each with where it really lies."""
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    there = os.path.realpath(directory)
    for entry in entries:
        name = entry.name
        if name.endswith(".py") and not name.startswith(("__init__", ".#")) and not entry.is_dir():
            # A link that leads nowhere counts too: Alembic stops at it.
            real = os.path.realpath(entry.path) if entry.is_symlink() else f"{there}/{name}"
            yield directory / name, real
    if recursive:
        for entry in entries:
            if entry.is_dir() and not entry.name.endswith("__pycache__"):
                yield from _python_files(directory / entry.name, recursive=True)


def read_revision(path: Path, recall: Recall = lambda *_: None) -> RevisionFile | BrokenFile | None:
    """Read what one file declares; None where it is no revision at all, such as a module that revisions share.

    A file whose text does not parse keeps its place in the history where its id can still be seen.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        return BrokenFile(path, 0, error.strerror or str(error))
    contents = digest(source)
    found = recall(path, contents) or declared(path, source)
    return replace(found, digest=contents) if isinstance(found, RevisionFile) else found


def broken_syntax(path: Path, source: bytes, error: SyntaxError | ValueError) -> BrokenFile:
    """What Python says of a text that it cannot parse, in clearer words where a merge was left half way."""
    line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 0
    conflict = conflict_line(source)
    if conflict:
        return BrokenFile(path, conflict, CONFLICT)
    return BrokenFile(path, line, f"{type(error).__name__}: {getattr(error, 'msg', None) or error}")


def conflict_line(source: bytes) -> int:
    """Where a merge that is not resolved has left its first marker; 0 where there is none."""
    found = _CONFLICT.search(source)
    return source.count(b"\n", 0, found.start()) + 1 if found else 0


def declared(path: Path, source: bytes) -> RevisionFile | BrokenFile | None:
    """What a file with this text declares; None where it is no revision."""
    try:
        body = _declarations(source, path)
    except (SyntaxError, ValueError) as error:
        return _from_text(source, broken_syntax(path, source, error))
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    literals: dict[str, ast.expr] = {}
    for names, value, line in _assignments(body):
        for name in names:
            literals[name] = value
            if name in _VARIABLES:
                lines[name] = line
    for name in lines:
        try:
            values[name] = _literal(literals[name], literals)
        except ValueError:
            # The chain holds without them: a label that is not seen leads nowhere, and what a file depends on only
            # where a condition holds is mostly a part of the application that may be absent.
            if name in ("branch_labels", "depends_on"):
                values[name] = _written(literals[name], literals)
            elif name != "evolve":
                return BrokenFile(path, lines[name], f"{name} is not written as a literal")
    return _declared(path, values, lines, _message(body))


def _declared(
    path: Path, values: Mapping[str, object], lines: Mapping[str, int], message: str
) -> RevisionFile | BrokenFile | None:
    revision = values.get("revision")
    if "revision" not in values:
        if "down_revision" not in values:
            return None
        if not _LEGACY_FILE.fullmatch(path.name):
            return BrokenFile(path, lines["down_revision"], "it has a down_revision and no revision")
        revision = path.stem
    if not isinstance(revision, str) or not revision:
        return BrokenFile(path, lines.get("revision", 0), "revision is not text")
    if "down_revision" not in values:
        return BrokenFile(path, lines["revision"], "it has a revision and no down_revision")
    try:
        return RevisionFile(
            revision=revision,
            down_revisions=_ids(values["down_revision"]),
            path=path,
            depends_on=_ids(values.get("depends_on")),
            branch_labels=_ids(values.get("branch_labels")),
            message=message,
            metadata=_metadata(values.get("evolve")),
        )
    except ValueError as error:
        return BrokenFile(path, lines["down_revision"], str(error))


def _declarations(source: bytes, path: Path) -> list[ast.stmt]:
    """The module's statements; only its head is parsed where all declarations stand before the first definition."""
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ast.parse(source, filename=str(path)).body  # it declares its own encoding
    start = _DEFINITION.search(text)
    if start is not None and not _VARIABLE.search(text, start.start()):
        try:
            body = ast.parse(text[: start.start()], filename=str(path)).body
        except SyntaxError:
            body = []  # the head was cut inside a string: read it all
        if body:
            return body
    return ast.parse(source, filename=str(path)).body


def _assignments(body: Iterable[ast.stmt]) -> Iterator[tuple[list[str], ast.expr, int]]:
    for node in body:
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names:
                yield names, node.value, node.lineno
            for target in node.targets:
                if isinstance(target, ast.Tuple | ast.List):
                    yield from _unpacked(target, node.value, node.lineno)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield [node.target.id], node.value, node.lineno


def _unpacked(
    target: ast.Tuple | ast.List, value: ast.expr, line: int
) -> Iterator[tuple[list[str], ast.expr, int]]:
    """`revision, down_revision = "b", "a"`; where the values are not written out each name has them all."""
    written = value.elts if isinstance(value, ast.Tuple | ast.List) else []
    values = written if len(written) == len(target.elts) else [value] * len(target.elts)
    for each, its in zip(target.elts, values, strict=True):
        if isinstance(each, ast.Name):
            yield [each.id], its, line


def _literal(node: ast.expr, names: Mapping[str, ast.expr], depth: int = 0) -> object:
    if isinstance(node, ast.Name) and node.id in names and depth < 10:
        return _literal(names[node.id], names, depth + 1)
    return ast.literal_eval(node)


def _written(node: ast.expr, names: Mapping[str, ast.expr], depth: int = 0) -> list[object]:
    """Those parts of a tuple or list that are literals, also of one that is made up step by step."""
    match node:
        case ast.Name(id=name) if name in names and depth < 10:
            return _written(names[name], names, depth + 1)
        case ast.Call(func=ast.Name(id="tuple" | "list"), args=[inner]):
            return _written(inner, names, depth + 1)
        case _:
            pass
    found: list[object] = []
    for part in node.elts if isinstance(node, ast.Tuple | ast.List) else ():
        with suppress(ValueError):
            found.append(_literal(part, names))
    return found


def _ids(value: object) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case str():
            return (value,)
        case tuple() | list() | set():
            found = tuple(value)
            if all(isinstance(item, str) for item in found):
                return found
    message = f"{value!r} is neither an id nor a tuple of ids"
    raise ValueError(message)


def _metadata(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        return ()
    return tuple((str(key), str(item)) for key, item in value.items())


def _message(body: Sequence[ast.stmt]) -> str:
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        text = body[0].value.value
        if isinstance(text, str):
            return " ".join(re.split(r"\n\s*\n", text.strip())[0].split())
    return ""


def _from_text(source: bytes, broken: BrokenFile) -> RevisionFile | BrokenFile:
    text = source.decode("utf-8", errors="replace")
    found = _ID_IN_TEXT.search(text)
    parents = _PARENT_IN_TEXT.search(text)
    if found is None or parents is None:
        return broken
    try:
        down_revisions = _ids(ast.literal_eval(parents[1].split("#")[0].strip()))
    except (SyntaxError, ValueError):
        return broken
    return RevisionFile(found[2], down_revisions, broken.path, broken=broken)


def _closure(start: Iterable[str], edges: Mapping[str, Sequence[str]]) -> frozenset[str]:
    seen: set[str] = set()
    todo = list(start)
    while todo:
        key = todo.pop()
        if key not in seen:
            seen.add(key)
            todo.extend(edges.get(key, ()))
    return frozenset(seen)


def _without_inherited(
    revisions: Mapping[str, RevisionFile], needs: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """`needs` without dependencies that an ancestor declares already; Alembic's order goes by these."""
    downs = {key: file.down_revisions for key, file in revisions.items()}
    result: dict[str, tuple[str, ...]] = {}
    for key, file in revisions.items():
        if len(needs[key]) == len(file.down_revisions):
            result[key] = needs[key]
            continue
        inherited = {
            name
            for ancestor in _closure(file.down_revisions, downs)
            for name in needs[ancestor]
            if name not in downs[ancestor]
        }
        result[key] = tuple(
            name for name in needs[key] if name in file.down_revisions or name not in inherited
        )
    return result


def _refuse_cycles(needs: Mapping[str, Sequence[str]], revisions: Mapping[str, RevisionFile]) -> None:
    waiting = {key: set(parents) for key, parents in needs.items()}
    dependents: dict[str, list[str]] = {key: [] for key in needs}
    for key, parents in needs.items():
        for parent in set(parents):
            dependents[parent].append(key)
    ready = [key for key, parents in waiting.items() if not parents]
    while ready:
        key = ready.pop()
        del waiting[key]
        for dependent in dependents[key]:
            waiting[dependent].discard(key)
            if not waiting[dependent]:
                ready.append(dependent)
    if waiting:
        path = [next(iter(waiting))]
        while True:
            following = next(parent for parent in needs[path[-1]] if parent in waiting)
            if following in path:
                circle = path[path.index(following) :]
                raise Cycle(circle, [revisions[key].path for key in circle])
            path.append(following)


def _nearest(identifier: str, known: list[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(identifier, known, n=2, cutoff=0.5)
