"""Verdicts in words: the level, what it means, the order of deployment and what demands it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evolve.compat.models import Gap
from evolve.lint.verdict import Compatibility, Level, Order, Verdict

_MOST_NAMES = 3
_MEANS = {
    Level.FULL: "old code runs on the new schema, new code on the old",
    Level.BACKWARD: "old code runs on the new schema, new code not on the old",
    Level.FORWARD: "new code runs on the old schema, old code not on the new",
    Level.NONE: "old code does not run on the new schema, nor new code on the old",
}


def lines(compatibility: Compatibility, *, verbose: bool) -> Iterator[str]:
    """What stands under a text report: the rollout's verdict, and each revision's where they differ or `verbose`.

    Of a history that is no rollout only what its revisions demand each alone can be said, and only `verbose` asks.
    """
    whole = compatibility.whole
    if whole is not None:
        so_far = "" if compatibility.complete else ", as far as it was read"
        yield f"{whole.level.value}: {_MEANS[whole.level]}{so_far}"
        yield from _order(compatibility, whole)
    differ = whole is not None and len({verdict.level for verdict in compatibility.revisions}) > 1
    if (verbose and len(compatibility.revisions) > 1) or differ:
        for verdict in compatibility.revisions:
            yield f"  {', '.join(verdict.revisions)}  {verdict.level.value}  {order(verdict)}"
    if compatibility.window is not None:
        count = len(compatibility.window.revisions)
        over = f"over the last {count} revision{'s' * (count != 1)}"
        yield f"{compatibility.window.level.transitive} {over}{_because(compatibility.window)}"
    for gap in compatibility.models_unread:
        yield f"models not read: {_place(gap)}: {gap.reason}, so that all code may use what it maps"
    if verbose and compatibility.models_sought:
        yield _models(compatibility)


def meaning(level: Level) -> str:
    return _MEANS[level]


def in_one_line(verdict: Verdict) -> str:
    """Such as "FULL: old code runs on the new schema, new code on the old; any order"."""
    return f"{verdict.level.value}: {_MEANS[verdict.level]}; {order(verdict)}"


def shortfall(required: Level, unmet: Sequence[Verdict]) -> str:
    """One line for each of the verdicts that fall short of what is required."""
    return "\n".join(
        f"{required.value} is required, and not met: {_names(verdict)} {verdict.level.value}{_because(verdict)}"
        for verdict in unmet
    )


def order(verdict: Verdict) -> str:
    """The order of deployment, with the command where there is one, else with what demands it."""
    if verdict.order is Order.PHASES and verdict.plans:
        first, *others = verdict.plans
        return f"{verdict.order.value}: run {first}" + (f" (and {len(others)} more)" if others else "")
    return f"{verdict.order.value}{_because(verdict)}"


def _order(compatibility: Compatibility, whole: Verdict) -> Iterator[str]:
    alone = all(verdict.order is not Order.PHASES for verdict in compatibility.revisions)
    if whole.order is Order.PHASES and not whole.plans and alone:
        # Each revision has an order of its own; only as one rollout they have none.
        yield f"  {whole.order.value}: roll the revisions out one by one"
    else:
        unsure = whole.order is Order.ANY and not compatibility.complete
        yield f"  {order(whole)}" + (", as far as it was read" if unsure else "")


def _because(verdict: Verdict) -> str:
    return f": {verdict.why}" if verdict.why else ""


def _names(verdict: Verdict) -> str:
    shown = ", ".join(verdict.revisions[:_MOST_NAMES])
    more = len(verdict.revisions) - _MOST_NAMES
    return (
        f"{shown} and {more} more are"
        if more > 0
        else f"{shown} {'is' if len(verdict.revisions) == 1 else 'are'}"
    )


def _place(gap: Gap) -> str:
    here = Path.cwd()
    file = gap.file.relative_to(here) if gap.file.is_relative_to(here) else gap.file
    return f"{file}:{gap.line}" if gap.line else f"{file}"


def _models(compatibility: Compatibility) -> str:
    if compatibility.old_models is None and compatibility.new_models is None:
        return 'models not found, so that all code may use all columns: name them, [tool.evolve.lint] models = ["…"]'
    old = compatibility.old_models or "not known"
    new = compatibility.new_models or "not known"
    return f"models of the previous release: {old}; of the next: {new}"
