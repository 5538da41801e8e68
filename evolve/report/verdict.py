"""Verdicts in words: the level, what it means, the order of deployment and what demands it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.verdict import Compatibility, Level, Order, Verdict

_MEANS = {
    Level.FULL: "old code runs on the new schema, new code on the old",
    Level.BACKWARD: "old code runs on the new schema, new code not on the old",
    Level.FORWARD: "new code runs on the old schema, old code not on the new",
    Level.NONE: "neither does old code run on the new schema, nor new code on the old",
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
            why = f": {verdict.why}" if verdict.why and not verdict.plans else ""
            yield f"  {', '.join(verdict.revisions)}  {verdict.level.value}  {order(verdict)}{why}"
    if compatibility.window is not None:
        count = len(compatibility.window.revisions)
        yield f"{compatibility.window.level.transitive} over the last {count} revision{'s' * (count != 1)}"
    if verbose and compatibility.models_sought:
        yield _models(compatibility)


def order(verdict: Verdict) -> str:
    """The order of deployment, with the command where there is one."""
    if verdict.order is Order.PHASES and verdict.plans:
        more = f" (and {len(verdict.plans) - 1} more)" if len(verdict.plans) > 1 else ""
        return f"{verdict.order.value}: run {verdict.plans[0]}{more}"
    return verdict.order.value


def _order(compatibility: Compatibility, whole: Verdict) -> Iterator[str]:
    alone = all(verdict.order is not Order.PHASES for verdict in compatibility.revisions)
    if whole.order is Order.PHASES and not whole.plans and alone:
        # Each revision has an order of its own; only as one rollout they have none.
        yield f"  {whole.order.value}: roll the revisions out one by one"
    else:
        why = f": {whole.why}" if whole.why and not whole.plans else ""
        yield f"  {order(whole)}{why}"


def _models(compatibility: Compatibility) -> str:
    if compatibility.old_models is None and compatibility.new_models is None:
        return 'models not found, so that all code may use all columns: name them, [tool.evolve.lint] models = ["…"]'
    old = compatibility.old_models or "not known"
    new = compatibility.new_models or "not known"
    return f"models of the previous release: {old}; of the next: {new}"
