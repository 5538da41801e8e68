"""Whether what a revision imports maps tables, from the text of the project's modules; nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_MAPS_TABLES = re.compile(
    r"__tablename__|\bDeclarativeBase\b|declarative_base|\bdb\.Model\b|=\s*(?:\w+\.)?Table\("
)
_MAPPED_CLASS = re.compile(r"\A\s*class[ \t]+\w+\s*\([^)]*\b(?:Base|Model)\b")
_NAMES = r"(?:\((?P<listed>[^)]*)\)|(?P<plain>[^\n(]+))"
_FROM = re.compile(rf"^[ \t]*from[ \t]+(?P<module>[\w.]+)[ \t]+import[ \t]*{_NAMES}", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+(?P<module>[\w.]+)", re.MULTILINE)
_FARTHEST = 3  # packages between the name that is imported and where it is defined


def imported_models(source: str, roots: tuple[Path, ...]) -> Iterator[tuple[int, str]]:
    """Where `source` imports a mapped class, a table or a module of them: the position, and the module.

    A type, a constant or a function may stand beside models and is none.

    Args:
        roots: directories that the project imports its own modules from.
    """
    for found in sorted((*_FROM.finditer(source), *_IMPORT.finditer(source)), key=re.Match.start):
        module = found["module"]
        if found.re is _IMPORT:
            if _maps_tables(module, roots):
                yield found.start(), module
            continue
        for name in _names(found):
            if _file(f"{module}.{name}", roots) is not None:
                mapping = f"{module}.{name}" if _maps_tables(f"{module}.{name}", roots) else None
            else:
                mapping = module if _is_model(module, name, roots) else None
            if mapping is not None:
                yield found.start(), mapping
                break


def _names(found: re.Match[str]) -> Iterator[str]:
    for line in (found["listed"] or found["plain"]).splitlines():
        for part in line.split("#")[0].split(","):
            if part.strip():
                yield part.split()[0]


@lru_cache(maxsize=1024)
def _maps_tables(module: str, roots: tuple[Path, ...]) -> bool:
    return _MAPS_TABLES.search(_text(module, roots)) is not None


@lru_cache(maxsize=1024)
def _is_model(module: str, name: str, roots: tuple[Path, ...], farthest: int = _FARTHEST) -> bool:
    """Whether `name` of `module` maps a table, where it is defined there or in what the module itself imports."""
    text = _text(module, roots)
    if name == "*":
        return _MAPS_TABLES.search(text) is not None
    defined = re.search(
        rf"^(?:class[ \t]+{name}\b|{name}[ \t]*[:=]).*(?:\n(?:[ \t)].*)?)*", text, re.MULTILINE
    )
    if defined is not None:
        return _MAPS_TABLES.search(defined[0]) is not None or _MAPPED_CLASS.match(defined[0]) is not None
    return farthest > 0 and any(
        _is_model(_absolute(found["module"], module, roots), name, roots, farthest - 1)
        for found in _FROM.finditer(text)
        if not {name, "*"}.isdisjoint(_names(found))
    )


def _absolute(imported: str, module: str, roots: tuple[Path, ...]) -> str:
    """The name of a module that `module` imports, perhaps relative to itself."""
    path = imported.lstrip(".")
    dots = len(imported) - len(path)
    if not dots:
        return imported
    file = _file(module, roots)
    above = dots - 1 if file is not None and file.name == "__init__.py" else dots
    package = module.split(".")
    return ".".join((*package[: len(package) - above], *filter(None, [path])))


def _file(module: str, roots: tuple[Path, ...]) -> Path | None:
    inside = Path(*module.split(".")) if module else Path("__init__")
    for root in roots:
        for candidate in (root / inside.with_suffix(".py"), root / inside / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@lru_cache(maxsize=256)
def _text(module: str, roots: tuple[Path, ...]) -> str:
    file = _file(module, roots)
    try:
        return "" if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
