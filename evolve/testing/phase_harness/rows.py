"""How one version of an application writes and reads one kind of record, through SQLAlchemy's ORM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from evolve.testing.phase_harness.dice import Dice

Values = Mapping[str, Any]
"""Attributes of one record, by name."""


class Rows:
    """Rows of one mapped class, each found again by its primary key.

    Where a record is more than that, override the methods. Each runs in a transaction of its own, which the client
    begins and commits; what a method returns is remembered only once that commit has succeeded. Keys are of the
    subclass's own choice, equal for both versions.

    Args:
        model: a mapped class.
        make: values for a new row; of an existing row some of them are changed. They must read back as they are
            written: no value that the database rounds, trims or replaces.
        normal: applied to what was written and to what is found before the two are compared, where what is written
            is not what is found: a null, say, that a trigger replaces.
        removes: whether clients remove rows.
    """

    def __init__(
        self,
        model: type[Any],
        make: Callable[[Dice], Values],
        *,
        normal: Callable[[Values], Values] | None = None,
        removes: bool = True,
    ) -> None:
        self.model = model
        self.make = make
        self.normal = normal or dict
        self.removes = removes

    def add(self, session: Session, dice: Dice) -> tuple[object, Values]:
        """Insert a record; returns its key and what was written."""
        values = self.make(dice)
        row = self.model(**values)
        session.add(row)
        session.flush()
        identity = inspect(row).identity
        return identity, values

    def find(self, session: Session, key: object) -> Values | None:
        """What the application sees of the record; None where it sees none."""
        row = session.get(self.model, key, populate_existing=True)
        if row is None:
            return None
        return self._values(row)

    def existing(self, session: Session) -> list[tuple[object, Values]]:
        """Every record that is there before the change begins, with its key: clients of old code answer for them."""
        return [(inspect(row).identity, self._values(row)) for row in session.scalars(select(self.model))]

    def change(self, session: Session, key: object, dice: Dice) -> Values:
        """Write some attributes of a record that is there; returns those."""
        made = self.make(dice)
        values = {name: made[name] for name in dice.sample(sorted(made), dice.randint(1, len(made)))}
        row = session.get_one(self.model, key)
        for name, value in values.items():
            setattr(row, name, value)
        return values

    def remove(self, session: Session, key: object) -> None:
        """Delete a record that is there."""
        session.delete(session.get_one(self.model, key))

    def glance(self, session: Session) -> None:
        """Read records of anybody, as a list on a page does; nothing is compared."""
        session.scalars(select(self.model).limit(20)).all()

    def _values(self, row: object) -> Values:
        return {attribute.key: getattr(row, attribute.key) for attribute in inspect(self.model).column_attrs}
