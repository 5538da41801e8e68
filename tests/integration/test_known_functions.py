"""The list of functions that PostgreSQL and its contrib modules bring, held against a server.

`--update-golden` adds to the list what it lacks; the server should then be a bare one, without modules of others.
"""

from __future__ import annotations

from collections import defaultdict
from textwrap import fill

import psycopg
import pytest

from evolve.postgres.connect import connect
from evolve.sql.known_functions import FILE, listed

# It runs text in another session: that may be anything.
LEFT_OUT = "dblink"

# Types are functions too: uuid('…') is a cast.
CALLABLE = b"""
    SELECT coalesce(e.extname, 'pg_catalog'), p.proname
      FROM pg_proc p
      LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
      LEFT JOIN pg_extension e ON e.oid = d.refobjid
     WHERE (e.oid IS NOT NULL OR p.pronamespace = 'pg_catalog'::regnamespace)
       AND NOT p.proargtypes::oid[] && ARRAY['internal', 'cstring']::regtype[]::oid[]
       AND NOT p.prorettype = ANY (ARRAY['internal', 'cstring', 'trigger', 'event_trigger', 'fdw_handler',
           'index_am_handler', 'table_am_handler', 'tsm_handler', 'language_handler']::regtype[])
    UNION
    SELECT coalesce(e.extname, 'pg_catalog'), t.typname
      FROM pg_type t
      LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
      LEFT JOIN pg_extension e ON e.oid = d.refobjid
     WHERE (e.oid IS NOT NULL OR t.typnamespace = 'pg_catalog'::regnamespace)
       AND t.typtype IN ('b', 'd', 'r', 'm') AND t.typcategory <> 'A'
"""


@pytest.mark.server
def test_functions_of_the_server_are_known(database_url: str, pytestconfig: pytest.Config) -> None:
    known = listed(FILE.read_text(encoding="utf-8"))
    there = _functions(database_url)
    if pytestconfig.getoption("--update-golden"):
        known = {
            module: known.get(module, frozenset()) | there.get(module, frozenset())
            for module in {*known, *there}
        }
        _write(known)

    # Beyond contrib a server offers whatever its owner has installed.
    assert {
        module: there[module] - names for module, names in known.items() if there.get(module, names) - names
    } == {}


def _functions(url: str) -> dict[str, frozenset[str]]:
    """The functions of the server and of all modules that it can load, by module."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    with connect(url, autocommit=True) as connection:
        for (module,) in connection.execute("SELECT name FROM pg_available_extensions").fetchall():
            try:
                connection.execute(f'CREATE EXTENSION IF NOT EXISTS "{module}" CASCADE'.encode())
            except psycopg.Error:  # it needs a library that this machine lacks
                continue
        for module, name in connection.execute(CALLABLE):
            found[str(module)].add(str(name))
    found.pop(LEFT_OUT, None)
    return {module: frozenset(names) for module, names in found.items()}


def _write(known: dict[str, frozenset[str]]) -> None:
    opening = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    parts = [
        f"[{module}]\n{fill(' '.join(sorted(names)), 110, break_long_words=False, break_on_hyphens=False)}"
        for module, names in sorted(known.items(), key=lambda item: (item[0] != "pg_catalog", item[0]))
        if names
    ]
    FILE.write_text("\n".join([*opening, *parts]) + "\n", encoding="utf-8")
