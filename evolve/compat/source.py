"""Python source as text: which file a module is, and what a name in it stands for. Nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from evolve.values import dataclass

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<dots>\.*)(?P<source>[\w.]*)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n;#]*)"
    r"|import[ \t]+(?P<modules>[^\n;#]*))",
    re.MULTILINE,
)
_DEPTH = 12  # a name that is passed on more often than this goes round in a circle


class Sources(Protocol):
    """The application's files at one moment."""

    def read(self, path: Path) -> str | None:
        """Its text; None where there is no such file, or none that is text."""
        ...

    def below(self, folder: Path) -> Sequence[Path]:
        """The Python files in it and in all its folders, sorted."""
        ...


@dataclass(frozen=True, slots=True)
class OneFile:
    """An application that is one text."""

    path: Path
    text: str

    def read(self, path: Path) -> str | None:
        return self.text if path == self.path else None

    def below(self, folder: Path) -> Sequence[Path]:
        return [self.path] if self.path.is_relative_to(folder) else []


@dataclass(frozen=True, slots=True)
class External:
    """Something from a library: "sqlalchemy.orm.DeclarativeBase"."""

    name: str


@dataclass(frozen=True, slots=True)
class Local:
    """A class, a function or an expression of the application."""

    module: Module
    node: ast.ClassDef | ast.FunctionDef | ast.expr
    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """What an object of the application has under a name: `db.Model`."""

    of: Local
    name: str


Meaning = External | Local | Attribute


@dataclass(eq=False, slots=True)
class Module:
    """One file.

    Args:
        names: what its top level binds.
        imports: name → the file it comes from, or its dotted name where that is a library's; and the name there.
        stars: files of `from … import *`.
    """

    path: Path
    tree: ast.Module
    names: dict[str, ast.ClassDef | ast.FunctionDef | ast.expr] = field(default_factory=dict)
    imports: dict[str, tuple[Path | str, str | None]] = field(default_factory=dict)
    stars: list[Path] = field(default_factory=list)


Trees = dict[str, ast.Module]  # by the text they were parsed from, for readings that share files


class Code:
    """The application's source, read file by file as it is asked about."""

    def __init__(self, sources: Sources, roots: Sequence[Path], trees: Trees | None = None) -> None:
        """`roots` are the folders that imports start from, the first that has a module wins."""
        self._trees: Trees = {} if trees is None else trees
        self.sources = sources
        self.broken: dict[Path, int] = {}
        self._roots = roots
        self._modules: dict[Path, Module | None] = {}
        self._files: dict[tuple[Path, str], Path | None] = {}

    # -- files -----------------------------------------------------------------------------------------------
    def file(self, dotted: str) -> Path | None:
        """The file of a module or package; None where it is none of the application's."""
        for root in self._roots:
            found = self._file(root, dotted)
            if found is not None:
                return found
        return None

    def imported(self, path: Path) -> Iterator[Path]:
        """The application's files that importing `path` runs, wherever in it the import stands; may repeat."""
        text = self.sources.read(path)
        for match in _IMPORT.finditer(text or ""):
            if match["modules"] is not None:
                for name in match["modules"].split(","):
                    yield from self._packages(None, name.split(" as ")[0].strip())
                continue
            base = self._base(path, len(match["dots"]))
            yield from self._packages(base, match["source"])
            for name in match["names"].strip("()").split(","):
                plain = name.partition("#")[0].split(" as ")[0].strip()
                if plain.isidentifier():
                    inside = f"{match['source']}.{plain}" if match["source"] else plain
                    found = self._file(base, inside) if base else self.file(inside)
                    if found is not None:
                        yield found

    def module(self, path: Path) -> Module | None:
        """The file parsed; None where it cannot be, and then `broken` knows the line."""
        if path not in self._modules:
            self._modules[path] = None
            text = self.sources.read(path)
            if text is not None:
                try:
                    tree = self._trees.get(text) or ast.parse(text, filename=str(path))
                    self._trees[text] = tree
                    self._modules[path] = self._index(path, tree)
                except (SyntaxError, ValueError, RecursionError) as error:
                    self.broken[path] = getattr(error, "lineno", None) or 0
        return self._modules[path]

    # -- names -----------------------------------------------------------------------------------------------
    def meaning(self, module: Module, node: ast.expr, depth: int = 0) -> Meaning | None:
        """What an expression of names and dots stands for; None where that is not known."""
        match node:
            case ast.Name(id=name):
                return self._lookup(module, name, depth)
            case ast.Attribute(value=value, attr=name):
                dotted = _dotted(node)
                path = self._submodule(module, dotted) if dotted else None
                if path is not None:
                    return self._in_file(path, name, depth)
                match self.meaning(module, value, depth + 1):
                    case External(name=outer):
                        return External(f"{outer}.{name}")
                    case Local() as local:
                        return Attribute(local, name)
                    case _:
                        return None
            case ast.Constant(value=str() as text) if text.replace(".", "").isidentifier():
                return self.meaning(module, ast.parse(text, mode="eval").body, depth + 1)
            case ast.Subscript(value=value):
                return self.meaning(module, value, depth)
            case _:
                return None

    def _lookup(self, module: Module, name: str, depth: int) -> Meaning | None:
        if depth > _DEPTH:
            return None
        node = module.names.get(name)
        if node is not None:
            if isinstance(node, ast.Name | ast.Attribute):
                found = self.meaning(module, node, depth + 1)
                return found if found is not None else Local(module, node, name)
            return Local(module, node, name)
        if name in module.imports:
            source, inside = module.imports[name]
            if isinstance(source, str):
                return External(f"{source}.{inside}" if inside else source)
            return self._in_file(source, inside, depth + 1) if inside else None
        for star in module.stars:
            found = self._in_file(star, name, depth + 1)
            if found is not None:
                return found
        return None

    def _in_file(self, path: Path, name: str, depth: int) -> Meaning | None:
        module = self.module(path)
        return self._lookup(module, name, depth + 1) if module is not None else None

    def _submodule(self, module: Module, dotted: str) -> Path | None:
        """The file that holds the last name of `dotted`, such as app/models.py for "models.User"."""
        *owners, _ = dotted.split(".")
        if not owners or owners[0] not in module.imports:
            return None
        source, inside = module.imports[owners[0]]
        if isinstance(source, str):
            return None
        path: Path | None = source
        if inside is not None:
            path = self._file(source.parent, inside) if source.name == "__init__.py" else None
        for name in owners[1:]:
            path = self._file(path.parent, name) if path is not None and path.name == "__init__.py" else None
        return path

    # -- making ----------------------------------------------------------------------------------------------
    def _index(self, path: Path, tree: ast.Module) -> Module:
        module = Module(path, tree)
        for node in _statements(tree.body):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    module.names[name] = node
                case ast.Assign(targets=targets, value=value):
                    module.names.update((t.id, value) for t in targets if isinstance(t, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    module.names[name] = value
                case ast.Import(names=aliases):
                    for alias in aliases:
                        name = alias.asname or alias.name.partition(".")[0]
                        file = self.file(alias.name if alias.asname else name)
                        module.imports[name] = (file or (alias.name if alias.asname else name), None)
                case ast.ImportFrom(module=source, names=aliases, level=level):
                    self._import_from(module, source or "", level, aliases)
                case _:
                    pass
        return module

    def _import_from(self, module: Module, source: str, level: int, aliases: Sequence[ast.alias]) -> None:
        base = self._base(module.path, level)
        file = self._file(base, source) if base else self.file(source)
        for alias in aliases:
            if alias.name == "*":
                module.stars += [file] if file else []
                continue
            name = alias.asname or alias.name
            inside = f"{source}.{alias.name}" if source else alias.name
            submodule = self._file(base, inside) if base else self.file(inside)
            if submodule is not None and not self._binds(file, alias.name):
                module.imports[name] = (submodule, None)
            else:
                module.imports[name] = (file or source, alias.name)

    def _binds(self, file: Path | None, name: str) -> bool:
        """True where a package itself gives the name, which then hides its module of that name."""
        if file is None or self._modules.get(file, self) is None:
            return False
        found = self.module(file)
        return found is not None and name in found.names

    def _base(self, path: Path, level: int) -> Path | None:
        """The folder that a relative import starts from; None for an absolute one."""
        return path.parents[level - 1] if 0 < level <= len(path.parents) else None

    def _packages(self, base: Path | None, dotted: str) -> Iterator[Path]:
        """Importing a.b.c runs a, a.b and a.b.c."""
        parts = dotted.split(".") if dotted else []
        names = [".".join(parts[: n + 1]) for n in range(len(parts))] or ([""] if base else [])
        for name in names:
            found = self._file(base, name) if base else self.file(name)
            if found is not None:
                yield found

    def _file(self, folder: Path, dotted: str) -> Path | None:
        key = folder, dotted
        if key not in self._files:
            path = folder.joinpath(*dotted.split(".")) if dotted else folder
            candidates = [path / "__init__.py"]
            if dotted:
                candidates.insert(0, path.with_name(f"{path.name}.py"))
            self._files[key] = next(
                (each for each in candidates if self.sources.read(each) is not None), None
            )
        return self._files[key]


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of the top level, also under `if` and `try`."""
    for node in body:
        match node:
            case ast.If(body=inner, orelse=other):
                yield from _statements([*inner, *other])
            case ast.Try(body=inner, orelse=other, handlers=handlers):
                yield from _statements([*inner, *other])
                for handler in handlers:
                    yield from _statements(handler.body)
            case _:
                yield node


def _dotted(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            outer = _dotted(value)
            return f"{outer}.{name}" if outer else None
        case _:
            return None
