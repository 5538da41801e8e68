"""What a step breaks of the statements that the previous release's mapped classes send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evolve.compat.check import Cause, Failure, failures
from evolve.compat.models import MappedTable
from evolve.lint.history import History
from evolve.sql.names import QualifiedName
from evolve.sql.replay import apply
from evolve.sql.steps import Step


def broken(step: Step, history: History, table: QualifiedName, *causes: Cause) -> Iterator[Failure]:
    """What fails of the classes of `table` behind the step and did not before it, for one of `causes`, or for any."""
    models = history.old_models
    return newly(step, history, models.of(table) if models is not None else (), *causes)


def newly(step: Step, history: History, classes: Iterable[MappedTable], *causes: Cause) -> Iterator[Failure]:
    """The same of classes that the caller chooses, of whichever release."""
    chosen = tuple(classes)
    if not chosen:
        return
    after = history.schema.copy()
    apply(after, step.operation)
    for mapped in chosen:
        before = set(failures(mapped, history.schema))
        for failure in failures(mapped, after):
            if failure not in before and (not causes or failure.cause in causes):
                yield failure


def knows_all(history: History, table: QualifiedName) -> bool:
    """True where every class that the previous release maps to `table` could be read, and there is one."""
    classes = history.old_models.of(table) if history.old_models is not None else ()
    return bool(classes) and all(
        not mapped.partly and all(column.static for column in mapped.columns) for mapped in classes
    )
