"""What stands in the way of a default, and how two versions of an application have one each."""

from __future__ import annotations

from dataclasses import replace

from evolve.errors import Misuse, Refused
from evolve.plan.target import Target, TargetColumn
from evolve.plan.versions import Shapes, whole


class EqualWhereUnique(Refused):
    def __init__(self, target: Target, column: str, index: str) -> None:
        super().__init__(
            f'every row written without "{column}" of "{target.table.plain}" would hold the same value there, and '
            f'"{index}" lets it stand there once',
            why="the second such INSERT would fail",
            fix="choose a default that is another one each time, such as gen_random_uuid()",
        )


class GivenByServer(Misuse):
    def __init__(self, target: Target, column: TargetColumn) -> None:
        what = "an identity column" if column.identity else "generated"
        super().__init__(
            f'"{target.table.plain}.{column.name}" is {what}, and has no default of its own',
            fix="change how the server gives it by hand, with revisions that `evolve lint` passes",
        )


def other_default(target: Target, column: str, old: str | None, new: str | None) -> Shapes:
    """Old and new code know the same columns, and one of them by another default; None: by none."""
    known = whole(target)
    return Shapes((replace(known, defaults=((column, old),)),), (replace(known, defaults=((column, new),)),))


def refuse_equal(target: Target, column: str) -> None:
    """Raise `EqualWhereUnique` where a default that all rows share cannot be."""
    for index in target.indexes_on(column):
        if index.unique and index.columns == (column,):
            raise EqualWhereUnique(target, column, index.name)


def refuse_given(target: Target, column: TargetColumn) -> None:
    """Raise `GivenByServer` for identity and generated columns."""
    if column.identity or column.generated:
        raise GivenByServer(target, column)
