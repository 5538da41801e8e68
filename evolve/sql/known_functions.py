"""Which functions PostgreSQL and its contrib modules bring: a call of one changes no table, type or function.

Their names stand in known_functions.txt, taken from servers of all supported versions; see
tests/integration/test_known_functions.py.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from evolve.sql.names import QualifiedName

FILE = Path(__file__).with_suffix(".txt")


def is_known(function: QualifiedName) -> bool:
    """True for a function of PostgreSQL itself or of a contrib module that stands in `public` or in `extensions`.

    A name in another schema is somebody's own, whatever it is, unless a revision made an extension there.
    """
    match function.schema:
        # Supabase and its like keep extensions in a schema of that name, which no revision makes.
        case "public" | "pg_catalog" | "extensions":
            return function.name in _names()
        case "information_schema":
            return True
        case _:
            return False


def listed(text: str) -> dict[str, frozenset[str]]:
    """The names in a text such as that of `FILE`, by the module that brings them; "pg_catalog" is the server itself."""
    found: dict[str, set[str]] = {}
    names: set[str] = set()
    for line in text.splitlines():
        if line.startswith("["):
            names = found.setdefault(line.strip("[]"), set())
        elif not line.startswith("#"):
            names.update(line.split())
    return {module: frozenset(names) for module, names in found.items()}


def functions_of(extension: str) -> frozenset[str]:
    """Those that a contrib module brings; none of another extension."""
    return _modules().get(extension, frozenset())


@cache
def _names() -> frozenset[str]:
    return frozenset().union(*_modules().values())


@cache
def _modules() -> dict[str, frozenset[str]]:
    # Read only when a statement calls what the history does not know: most never do.
    return listed(FILE.read_text(encoding="utf-8"))
