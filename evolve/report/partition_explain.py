"""What queries scan of a partitioned table, for people and for programs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from evolve.partition.advice.pruning import Explanation, Pruned, Query
from evolve.redaction import shown

SCHEMA = 1
_WIDTH = 110
_SHOWN = 300  # characters of a query


def to_text(explanation: Explanation) -> str:
    return "\n".join(_lines(explanation))


def to_data(explanation: Explanation) -> dict[str, object]:
    scheme = explanation.scheme
    return {
        "schema": SCHEMA,
        "table": scheme.table.plain,
        "key": list(scheme.key),
        "partitions": len(scheme.leaves),
        "max_partitions": explanation.limit,
        "strict": explanation.strict,
        "passes": explanation.passes,
        "queries": [
            {
                **_query_data(each.query),
                "at_plan": each.at_plan,
                "at_run": each.at_run,
                "depends_on_values": each.depends,
                "planned": _planned(explanation, each),
                "scanned": list(each.partitions),
                "exceeds": explanation.exceeds(each),
                "reason": each.reason.code if each.reason else None,
                "why": each.reason.why if each.reason else None,
                "fix": each.reason.fix if each.reason else None,
            }
            for each in explanation.queries
        ],
        "unexplained": [{**_query_data(each.query), "error": each.error} for each in explanation.unexplained],
        "elsewhere": explanation.elsewhere,
        "notes": list(explanation.notes),
    }


def _planned(explanation: Explanation, each: Pruned) -> list[str] | None:
    """The names of those that are planned for; None where the plan tells no more than how many."""
    if each.at_plan == each.at_run:
        return list(each.partitions)
    if each.at_plan == each.total:
        return sorted(leaf.plain for leaf in explanation.scheme.leaves)
    return None


def _query_data(query: Query) -> dict[str, object]:
    return {
        "query": query.text,
        "place": query.place,
        "calls": query.calls,
        "seconds": None if query.seconds is None else round(query.seconds, 3),
    }


def _lines(explanation: Explanation) -> Iterator[str]:
    scheme = explanation.scheme
    total = len(scheme.leaves)
    yield f"{scheme.table.plain}: {total} partitions by {scheme.levels[0].method} ({', '.join(scheme.key)})"
    for each in explanation.queries:
        yield ""
        yield from _pruned_lines(each, exceeds=explanation.exceeds(each))
    for failed in explanation.unexplained:
        yield ""
        yield f"  not explained  {_where(failed.query)}"
        yield from _wrapped(_one_line(failed.query), 4)
        yield from _wrapped(failed.error, 4)
    yield ""
    yield _verdict(explanation)
    for note in explanation.notes:
        yield from _wrapped(f"note: {note}", 0)


def _pruned_lines(each: Pruned, *, exceeds: bool) -> Iterator[str]:
    count = f"{each.at_run} of {each.total}"
    if each.at_plan > each.at_run:
        count += f" when it runs, planned for {each.at_plan}"
    if each.depends:
        count = f"at least {count}; its values decide"
    yield f"{'! ' if exceeds else '  '}{count}  {_where(each.query)}"
    yield from _wrapped(_one_line(each.query), 4)
    if each.reason is not None and (each.at_run > 1 or exceeds):
        yield from _wrapped(f"why: {each.reason.why}", 4)
        if each.reason.fix:
            yield from _wrapped(f"fix: {each.reason.fix}", 4)


def _verdict(explanation: Explanation) -> str:
    others = f"; {explanation.elsewhere} more do not read it" if explanation.elsewhere else ""
    if explanation.limit is None:
        return f"{_queries(len(explanation.queries))} explained{others}"
    past = sum(explanation.exceeds(each) for each in explanation.queries)
    open_ = sum(each.depends and not explanation.exceeds(each) for each in explanation.queries)
    if past:
        word = "may scan" if explanation.strict else "scans" if past == 1 else "scan"
        return f"{past} of {_queries(len(explanation.queries))} {word} more than {explanation.limit} partitions{others}"
    if not explanation.passes:
        return f"{_queries(len(explanation.unexplained))} could not be explained{others}"
    if open_:
        others = f"; of {open_} the values decide, which --strict does not let pass{others}"
    return f"no query scans more than {explanation.limit} partitions{others}"


def _queries(number: int) -> str:
    return "1 query" if number == 1 else f"{number} queries"


def _where(query: Query) -> str:
    if query.calls is None or query.seconds is None:
        return query.place
    return f"{query.calls:,} calls, {query.seconds:,.1f} s"


def _one_line(query: Query) -> str:
    words = shown(" ".join(re.sub(r"\A\s*(--[^\n]*\n\s*)+", "", query.text).split()))
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_on_hyphens=False,
        break_long_words=False,
    )
