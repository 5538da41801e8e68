"""The function that does the work of a run, found and ready to be called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from evolve.backfill.calling import Caller, Computing
from evolve.backfill.functions import function_at
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.postgres.backfill_target import Target


@contextmanager
def computing(spec: Spec, target: Target) -> Iterator[Computing | None]:
    """For one thread; None where no function does the work.

    Raises:
        CannotImport, NoFunction
    """
    if not isinstance(spec.work, Transform):
        yield None
        return
    function = function_at(spec.work.function)
    with closing(Caller(spec.work, function, tuple(column.name for column in target.key))) as caller:
        yield caller
