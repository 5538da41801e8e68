"""Advice on keys and indexes, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from evolve.partition.advice.indexes import Hint
from evolve.partition.advice.keys import Key, Verdict
from evolve.partition.advice.table import TableAdvice
from evolve.report.sizes import bytes_text

SCHEMA = 1
_WIDTH = 110
_OTHERS = 3  # keys that are named beside the best


def to_text(advice: Sequence[TableAdvice], notes: Sequence[str]) -> str:
    lines: list[str] = []
    for number, each in enumerate(advice):
        lines += [""] * bool(number)
        lines += _lines(each)
    if not advice:
        lines.append("there are no tables")
    for note in notes:
        lines += _wrapped(f"note: {note}", 0)
    return "\n".join(lines)


def to_data(advice: Sequence[TableAdvice], notes: Sequence[str]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "tables": [
            {
                "table": each.table.plain,
                "partitioned_by": each.partitioned_by,
                "rows": each.size.rows if each.size else None,
                "bytes": each.size.bytes if each.size else None,
                "statements": each.statements,
                "partition": _verdict_data(each.partition),
                "shard": _verdict_data(each.shard),
                "command": each.command,
                "indexes": [
                    {"code": hint.code, "index": hint.index, "why": hint.why, "fix": hint.fix}
                    for hint in each.indexes
                ],
                "notes": list(each.notes),
            }
            for each in advice
        ],
        "notes": list(notes),
    }


def _verdict_data(verdict: Verdict) -> dict[str, object]:
    return {
        "best": _key_data(verdict.best) if verdict.best else None,
        "why": verdict.why,
        "keys": [_key_data(key) for key in verdict.keys],
    }


def _key_data(key: Key) -> dict[str, object]:
    return {
        "method": "hash" if key.method == "shard" else key.method,
        "column": key.column,
        "score": key.score,
        "parts": [{"name": part.name, "points": part.points, "why": part.why} for part in key.parts],
    }


def _lines(each: TableAdvice) -> Iterator[str]:
    size = each.size
    told = f"{bytes_text(size.bytes)}, {size.rows or 0:,} rows, " if size else ""
    statements = "1 statement" if each.statements == 1 else f"{each.statements} statements"
    yield f"{each.table.plain}: {told}{statements}"
    if each.partitioned_by:
        yield f"  is partitioned by {each.partitioned_by}"
    yield from _verdict_lines("partition by", each.partition)
    if each.command:
        yield f"    {each.command}"
    yield from _verdict_lines("shard by", each.shard)
    for hint in each.indexes:
        yield from _hint_lines(hint)
    for note in each.notes:
        yield from _wrapped(f"note: {note}", 2)


def _verdict_lines(words: str, verdict: Verdict) -> Iterator[str]:
    best = verdict.best
    if best is None:
        yield from _wrapped(f"{words}: none, {verdict.why}", 2)
    else:
        yield f"  {words}: {_name(best)}, {best.score} points"
        for part in best.parts:
            yield from _wrapped(f"{part.points:+4} {part.name}: {part.why}", 4)
    others = [key for key in verdict.keys if key is not best][:_OTHERS]
    if others:
        yield f"    scored too: {', '.join(f'{_name(key)} {key.score}' for key in others)}"


def _name(key: Key) -> str:
    return key.column if key.method == "shard" else f"{key.method} ({key.column})"


def _hint_lines(hint: Hint) -> Iterator[str]:
    yield from _wrapped(f"index {f'{hint.index}: ' if hint.index else 'missing: '}{hint.why}", 2)
    yield from _wrapped(hint.fix, 4)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_on_hyphens=False,
        break_long_words=False,
    )
