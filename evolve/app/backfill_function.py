"""The function that does the work of a run, found and ready to be called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from evolve.backfill.calling import Caller, Computing
from evolve.backfill.functions import function_at, imported
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.postgres.backfill_target import Target


@contextmanager
def computing(spec: Spec, target: Target) -> Iterator[Computing | None]:
    """For one thread; None where no function does the work.

    Raises:
        BadTransform, CannotImport, NoFunction, BadModel
    """
    if not isinstance(spec.work, Transform):
        yield None
        return
    with closing(_caller(spec.work, tuple(column.name for column in target.key))) as caller:
        yield caller


def _caller(work: Transform, key: tuple[str, ...]) -> Computing:
    work.check()
    function = function_at(work.function)
    if work.model is None:
        return Caller(work, function, key)
    from evolve.revisions.orm_rows import ObjectCaller

    return ObjectCaller(work, function, imported(work.model), key)
