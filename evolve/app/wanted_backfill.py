"""What a command line wants to be backfilled: its own specification, a declared one, or that of a planned change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evolve.app.change_specs import spec_of_change
from evolve.app.declared_backfills import declared_at, declared_in
from evolve.backfill.spec import Spec
from evolve.backfills import Backfill
from evolve.errors import Misuse
from evolve.revisions.project import NoProject
from evolve.sql.names import BadName, parse_column, parse_name

_COLUMN = re.compile(r'\s*("(?:[^"]|"")+"|[^\s"=]+)\s*=(.*)', re.DOTALL)


class NoSuchBackfill(Misuse):
    def __init__(self, target: str, declared: Sequence[str]) -> None:
        super().__init__(
            f'there is no planned change "{target}" with rows to fill'
            + (", and no declared backfill of that name" if declared else ""),
            why=f"declared are {', '.join(declared)}"
            if declared
            else "without --set the target is the id of a change in flight, or the name of a declared backfill",
            fix="list the changes with evolve status, or write evolve backfill run TABLE.COLUMN --set 'EXPRESSION'",
        )


class NoExpression(Misuse):
    def __init__(self, target: str) -> None:
        super().__init__(
            f"what is {target} to hold?",
            why="a column of your own choice needs an expression",
            fix=f"evolve backfill run {target} --set 'EXPRESSION'",
        )


class NotWithSpec(Misuse):
    def __init__(self, option: str, target: str) -> None:
        super().__init__(
            f"{option} does not go with {target}",
            why="what it does is written where it is declared or planned",
            fix=f"leave out {option}, or say all of it here: TABLE.COLUMN --set 'EXPRESSION'",
        )


class OneExpression(Misuse):
    def __init__(self, target: str) -> None:
        super().__init__(
            f"{target} is one column, and --set was given several times",
            fix="declare a backfill of several columns in Python; with --into, --set is written COLUMN=EXPRESSION",
        )


class NotTogether(Misuse):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} do not go together", fix=f"leave out {one} or {other}")


class NeedsOther(Misuse):
    def __init__(self, option: str, other: str) -> None:
        super().__init__(f"{option} needs {other}", fix=f"add {other}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a command, as they were given."""

    target: str
    values: tuple[str, ...] = ()
    where: str | None = None
    key: str | None = None
    name: str | None = None
    source: str | None = None
    join: str | None = None
    lock_source: bool | None = None
    into: str | None = None
    columns: str | None = None
    on_conflict: Literal["error", "nothing"] | None = None
    delete: bool = False

    def given(self) -> dict[str, bool]:
        """Option → whether it was given."""
        return {
            "--set": bool(self.values),
            "--from": self.source is not None,
            "--join": self.join is not None,
            "--into": self.into is not None,
            "--columns": self.columns is not None,
            "--on-conflict": self.on_conflict is not None,
            "--lock-source": self.lock_source is not None,
            "--delete": self.delete,
            "--where": self.where is not None,
            "--key": self.key is not None,
            "--name": self.name is not None,
        }


@dataclass(frozen=True, slots=True)
class Chosen:
    """`after`: the backfills it comes after by its declaration."""

    spec: Spec
    after: tuple[str, ...] = ()


def chosen_backfill(
    wanted: Wanted,
    folder: Path,
    *,
    modules: Sequence[str] = (),
    configuration: Path | None = None,
    section: str = "alembic",
) -> Chosen:
    """
    Args:
        modules: that declare backfills, by the settings.
        configuration, section: of Alembic, where the target is a change.

    Raises:
        Misuse: options that do not go together; a target that names nothing; a module that cannot be imported.
    """
    given = [option for option, is_given in wanted.given().items() if is_given]
    if set(given) & {"--set", "--into", "--delete", "--from"}:
        return Chosen(_own(wanted, given))
    if ":" in wanted.target and '"' not in wanted.target:
        _alone(wanted, given)
        declared = declared_at(wanted.target, folder)
        return Chosen(declared.spec, declared.after)
    if "." in wanted.target and not modules:
        raise NoExpression(wanted.target)
    _alone(wanted, given)
    names = []
    for declared in declared_in(modules, folder):
        if declared.spec.name == wanted.target:
            return Chosen(declared.spec, declared.after)
        names.append(declared.spec.name)
    if "." in wanted.target:
        raise NoExpression(wanted.target)
    try:
        spec = spec_of_change(folder, wanted.target, configuration=configuration, section=section)
    except NoProject:
        if not names:
            raise
        spec = None
    if spec is None:
        raise NoSuchBackfill(wanted.target, names)
    return Chosen(spec)


def _alone(wanted: Wanted, given: list[str]) -> None:
    if given:
        raise NotWithSpec(given[0], wanted.target)


_GOES_WITH = {
    "--delete": {"--where", "--key", "--name"},
    "--into": {"--set", "--columns", "--on-conflict", "--lock-source", "--where", "--key", "--name"},
    "--from": {"--set", "--join", "--lock-source", "--where", "--key", "--name"},
    "--set": {"--where", "--key", "--name"},
}


def _own(wanted: Wanted, given: list[str]) -> Spec:
    kind = next(option for option in _GOES_WITH if option in given)
    for option in given:
        if option != kind and option not in _GOES_WITH[kind]:
            if option == "--join":
                raise NeedsOther(option, "--from")
            raise NotTogether(kind, option)
    if kind in ("--delete", "--into"):
        return _of_table(wanted)
    table, column = parse_column(wanted.target)
    match wanted.values:
        case ():
            raise NoExpression(wanted.target)
        case (expression,):
            pass
        case _:
            raise OneExpression(wanted.target)
    if wanted.source is not None and wanted.join is None:
        raise NeedsOther("--from", "--join")
    return Backfill(
        table=str(table),
        set={column: expression},
        where=wanted.where,
        key=_names(wanted.key),
        source=wanted.source,
        join=wanted.join,
        lock_source=wanted.lock_source,
    ).spec(wanted.name or f"{table.plain}.{column}")


def _of_table(wanted: Wanted) -> Spec:
    table = parse_name(wanted.target)
    if wanted.into is None:
        return Backfill(table=wanted.target, where=wanted.where, key=_names(wanted.key), delete=True).spec(
            wanted.name or f"{table.plain}-delete"
        )
    if wanted.columns is None and not wanted.values:
        raise NeedsOther("--into", "--columns")
    return Backfill(
        table=wanted.target,
        set=dict(map(_value, wanted.values)),
        where=wanted.where,
        key=_names(wanted.key),
        into=wanted.into,
        columns=_names(wanted.columns) or (),
        on_conflict=wanted.on_conflict or "error",
        lock_source=wanted.lock_source,
    ).spec(wanted.name or f"{table.plain}-into-{parse_name(wanted.into).plain}")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _value(text: str) -> tuple[str, str]:
    found = _COLUMN.fullmatch(text)
    if found is None or not found[2].strip():
        raise BadName(text, "written COLUMN=EXPRESSION, as --set is with --into")
    return parse_name(found[1]).name, found[2].strip()
