"""What a preflight found, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from evolve.lint.forecast import Forecast
from evolve.lint.readiness import Check, Server
from evolve.report.sizes import bytes_text, seconds_text

SCHEMA = 1
_WIDTH = 110
_SHOWN = 90  # characters of a statement
_MARKS = {"fails": "NO", "warns": "look", "passes": "ok"}


def to_text(
    revisions: Sequence[tuple[str, str]], forecasts: Sequence[Forecast], checks: Sequence[Check]
) -> str:
    """
    Args:
        revisions: (id, message) of each that is pending, in order.
    """
    return "\n".join(_lines(revisions, forecasts, checks))


def _lines(
    revisions: Sequence[tuple[str, str]], forecasts: Sequence[Forecast], checks: Sequence[Check]
) -> Iterator[str]:
    for number, (revision, message) in enumerate(revisions, 1):
        yield f"{number}/{len(revisions)} {revision} {message}".rstrip()
        for each in forecasts:
            if each.revision == revision and _tells(each):
                yield from _statement(each)
    if revisions:
        yield ""
    for verdict in ("fails", "warns", "passes"):
        for check in checks:
            if check.verdict == verdict:
                yield from _check(check)
    yield ""
    yield _summary(len(revisions), checks)


def _tells(each: Forecast) -> bool:
    """Whether there is anything to say of it: locks, work, or that it was not read."""
    return bool(each.locks or each.worked_on or each.opaque)


def _statement(each: Forecast) -> Iterator[str]:
    text = " ".join(each.sql.split())
    yield f"    {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"
    for name, mode in sorted(each.locks.items()):
        held = (
            "for a time that depends on rows" if each.held is None else f"for about {seconds_text(each.held)}"
        )
        blocks = f", stops {mode.blocks} {held}" if mode.blocks_writes else f", stops {mode.blocks}"
        yield f"      {name.plain}: {mode}{blocks}"
    for word, names in (
        ("reads every row of", tuple(name for name in each.scans if name not in each.rewrites)),
        ("writes anew", each.rewrites),
        ("builds an index on", each.builds),
    ):
        if names:
            room = f", {bytes_text(each.bytes)}" if each.bytes and word != "reads every row of" else ""
            yield f"      {word} {', '.join(name.plain for name in names)}{room}"
    if each.opaque:
        yield "      runs code that is not read"


def _check(check: Check) -> Iterator[str]:
    label = f"{_MARKS[check.verdict]:<4}  {check.name}: "
    yield from textwrap.wrap(check.says, _WIDTH, initial_indent=label, subsequent_indent=" " * 6)
    if check.fix is not None:
        yield from textwrap.wrap(check.fix, _WIDTH, initial_indent="      fix: ", subsequent_indent=" " * 11)


def _summary(pending: int, checks: Sequence[Check]) -> str:
    fails = sum(check.verdict == "fails" for check in checks)
    warns = sum(check.verdict == "warns" for check in checks)
    count = f"{pending} revision{'' if pending == 1 else 's'}" if pending else "no revision"
    if fails:
        thing = "thing has" if fails == 1 else "things have"
        return f"not ready for {count}: {fails} {thing} to be mended first"
    return f"ready for {count}" + (f"; {warns} to look at" if warns else "")


def to_data(
    revisions: Sequence[tuple[str, str]],
    forecasts: Sequence[Forecast],
    checks: Sequence[Check],
    server: Server,
    disk: Mapping[str, int],
    *,
    ready: bool,
) -> dict[str, object]:
    """What `--format json` prints; seconds and bytes, null where they depend on rows."""
    return {
        "schema": SCHEMA,
        "ready": ready,
        "server_version": server.version,
        "role": server.role,
        "disk": dict(disk),
        "checks": [
            {"name": each.name, "verdict": each.verdict, "says": each.says, "fix": each.fix}
            for each in checks
        ],
        "pending": [
            {
                "revision": revision,
                "message": message,
                "statements": [_data(each) for each in forecasts if each.revision == revision],
            }
            for revision, message in revisions
        ],
    }


def _data(each: Forecast) -> dict[str, object]:
    return {
        "file": str(each.place.file),
        "line": each.place.line,
        "sql": each.sql,
        "locks": {name.plain: str(mode) for name, mode in sorted(each.locks.items())},
        "scans": [name.plain for name in each.scans],
        "rewrites": [name.plain for name in each.rewrites],
        "builds_index_on": [name.plain for name in each.builds],
        "seconds": _rounded(each.seconds),
        "seconds_under_lock": _rounded(each.held),
        "bytes": each.bytes,
        "concurrently": each.concurrently,
        "known": not each.opaque,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
