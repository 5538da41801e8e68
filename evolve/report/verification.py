"""What a scratch server did with the revisions, for people and for machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from evolve.lint.verification import Difference, Run, Verification
from evolve.report.sizes import bytes_text, seconds_text
from evolve.sql.steps import Place

_WIDTH = 90  # of a statement, shown on one line


def lines(verification: Verification, place: Callable[[Place], str], *, verbose: bool) -> Iterator[str]:
    """Differences, then what could not be verified; with `verbose` every statement as well."""
    for difference in verification.differences:
        yield from _difference(difference, place)
        yield ""
    if verbose:
        for run in verification.runs:
            yield from _run(run, place)
        yield ""
    for note in verification.notes:
        yield f"not verified: {note}"
    if verification.ended_at is not None:
        yield f"nothing behind revision {verification.ended_at} was run"
    yield summary(verification)


def summary(verification: Verification) -> str:
    """Such as "14 statements verified on PostgreSQL 18 (embedded): 1 difference"."""
    ran = sum(run.seen.skipped is None for run in verification.runs)
    count = len(verification.differences)
    said = _many(count, "difference") if count else "no difference"
    server = f"PostgreSQL {verification.server_version} ({verification.provider})"
    return f"{_many(ran, 'statement')} verified on {server}: {said}"


def data(verification: Verification, file: Callable[[Path], str]) -> dict[str, object]:
    return {
        "server_version": verification.server_version,
        "provider": verification.provider,
        "ended_at": verification.ended_at,
        "notes": list(verification.notes),
        "differences": [
            {
                "kind": difference.kind,
                "rule": difference.rule,
                "message": difference.message,
                "revision": difference.revision,
                "file": file(difference.statement.place.file),
                "line": difference.statement.place.line,
                "sql": difference.statement.sql,
            }
            for difference in verification.differences
        ],
        "statements": [_run_data(run, file) for run in verification.runs],
    }


def _run_data(run: Run, file: Callable[[Path], str]) -> dict[str, object]:
    seen = run.seen
    locks = None
    if seen.locks is not None:
        locks = {name.plain: str(mode) for name, mode in sorted(seen.locks.items())}
    return {
        "revision": run.revision,
        "file": file(run.statement.place.file),
        "line": run.statement.place.line,
        "sql": run.statement.sql,
        "locks": locks,
        "rewritten": sorted(name.plain for name in seen.rewritten),
        "scanned": sorted(name.plain for name in seen.scanned),
        "seconds": round(seen.seconds, 6),
        "wal_bytes": seen.wal_bytes,
        "error": seen.error,
        "skipped": seen.skipped,
    }


def _difference(difference: Difference, place: Callable[[Place], str]) -> Iterator[str]:
    rule = f" {difference.rule}" if difference.rule else ""
    yield f"{place(difference.statement.place)}: error{rule} the server differs"
    yield f"  {difference.message}"
    yield f"  {_short(difference.statement.sql)}"


def _run(run: Run, place: Callable[[Place], str]) -> Iterator[str]:
    seen = run.seen
    yield f"{place(run.statement.place)}: {_short(run.statement.sql)}"
    if seen.error is not None or seen.skipped is not None:
        yield f"  {seen.skipped or seen.error}"
        return
    locks = "locks not seen: it runs outside a transaction"
    if seen.locks is not None:
        taken = (f"{mode} on {name.plain}" for name, mode in sorted(seen.locks.items()))
        locks = ", ".join(taken) or "no lock on a table in use"
    work = [f"rewrites {name.plain}" for name in sorted(seen.rewritten)]
    work += [f"reads {name.plain}" for name in sorted(seen.scanned - seen.rewritten)]
    cost = f"{seconds_text(seen.seconds)}, {bytes_text(seen.wal_bytes)} of WAL"
    yield f"  {'; '.join([locks, *work, cost])}"


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
