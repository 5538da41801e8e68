"""Which files hold the application's mapped classes: those that are named, or all that `env.py` imports."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from evolve.compat.models import Gap
from evolve.compat.source import Code
from evolve.values import dataclass

# An application that imports more than this has its models named.
_MOST = 3000
_DYNAMIC = re.compile(r"\b(?:import_module|__import__|walk_packages|iter_modules|import_string)\s*\(")
_NO_TARGET = re.compile(r"^\s*target_metadata\s*=\s*None\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """`gaps`: what may have hidden further files."""

    files: tuple[Path, ...]
    gaps: tuple[Gap, ...] = ()


def named(code: Code, places: Iterable[str], base: Path) -> Found:
    """The files of what the settings name: paths and globs from `base`, or packages such as "app.models"."""
    files: list[Path] = []
    gaps: list[Gap] = []
    for place in places:
        path = base / place
        package = code.file(place) if place.replace(".", "").isidentifier() else None
        if code.sources.read(path) is not None:
            found: Sequence[Path] = [path]
        elif any(sign in place for sign in "*?["):
            whole = base.joinpath(*_fixed(place))
            found = [each for each in code.sources.below(whole) if _matches(each, base, place)]
        elif package is not None:
            found = code.sources.below(package.parent) if package.name == "__init__.py" else [package]
        else:
            found = code.sources.below(path)
        files += found
        if not found:
            gaps.append(Gap(path, 0, f'"{place}" names no Python file'))
    return Found(tuple(dict.fromkeys(files)), tuple(gaps))


def followed(code: Code, environment: Path) -> Found:
    """Every file of the application that running `env.py` imports, also where only one branch of it does.

    Autogenerate compares the database with what these map, so a table that none of them maps is one that a history
    would drop.
    """
    gaps: list[Gap] = []
    if _NO_TARGET.search(code.sources.read(environment) or ""):
        gaps.append(Gap(environment, 0, "target_metadata is None, so models need not be imported"))
    found: dict[Path, None] = {}
    todo = deque([environment])
    while todo:
        path = todo.popleft()
        if path in found:
            continue
        if len(found) > _MOST:
            gaps.append(Gap(path, 0, f"more than {_MOST} files are imported"))
            break
        found[path] = None
        todo.extend(code.imported(path))
        if _DYNAMIC.search(code.sources.read(path) or ""):
            if path.name == "__init__.py":
                todo.extend(code.sources.below(path.parent))
            else:
                gaps.append(Gap(path, 0, "it imports modules by a name that is put together when it runs"))
    return Found(tuple(path for path in found if path != environment), tuple(gaps))


def _fixed(place: str) -> list[str]:
    """The parts of a glob before its first sign."""
    fixed: list[str] = []
    for part in place.split("/"):
        if any(sign in part for sign in "*?["):
            break
        fixed.append(part)
    return fixed


def _matches(path: Path, base: Path, pattern: str) -> bool:
    relative = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    return re.fullmatch(_expression(pattern), relative) is not None


def _expression(pattern: str) -> str:
    """`*` stays in a folder, `**/` goes through any number of them."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    signs = {"**/": r"(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(signs.get(part, re.escape(part)) for part in parts)
