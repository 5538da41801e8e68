"""Queries as programs and pg_stat_statements write them, made such that PostgreSQL can prepare them."""

from __future__ import annotations

import re

# What may hold a sign that is no placeholder comes first: strings, quoted names, comments, dollar quotes.
_SIGN = re.compile(
    r"""
      (?P<other> '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | (?P<quote>\$[a-z_]*\$).*?(?P=quote)
               | :: | := )
    | %\((?P<python>\w+)\)s
    | (?P<place>(?<=[\s=<>(,|+*/-])%s(?!\w))
    | (?<![\w:\]]):(?P<name>[a-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# `date '2026-01-01'` is kept as `date $1`, which is no SQL.
_TYPED = re.compile(
    r"\b(date|interval|uuid|numeric|jsonb?|inet|timetz|timestamptz|time(?:stamp)?(?:\s+with(?:out)?\s+time\s+zone)?)"
    r"\s+(\$\d+)",
    re.IGNORECASE,
)


def numbered(sql: str) -> str:
    """`sql` with `$1`, `$2` … in the place of `%s`, `%(name)s` and `:name`; a name keeps its number."""
    numbers: dict[str, int] = {}
    last = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)

    def put(found: re.Match[str]) -> str:
        if found["other"] is not None:
            return found[0]
        name = found["python"] or found["name"] or f" {found.start()}"
        return f"${numbers.setdefault(name, last + len(numbers) + 1)}"

    return _SIGN.sub(put, sql)


def cast_after(sql: str) -> str:
    """`sql` with `$1::date` where it says `date $1`."""
    return _TYPED.sub(r"\2::\1", sql)
