"""Which statements of a script are taken back, by the transactions and savepoints that they stand in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from evolve.sql.steps import CapturedStatement

_NAME = re.compile(r'("(?:[^"]|"")*"|\w+)\s*$')


@dataclass(slots=True)
class Undoing:
    """Marks what is rolled back in `captured`, to which the caller appends each statement of the script."""

    captured: list[CapturedStatement] = field(default_factory=list)
    _begun: int = 0
    _savepoints: list[tuple[str, int]] = field(default_factory=list)
    _regions: int = 0

    def begin(self) -> None:
        self._begun = len(self.captured)
        self._savepoints.clear()

    def end(self, *, undone: bool) -> None:
        """The transaction ends; `undone` by ROLLBACK."""
        if undone:
            self._undo(self._begun)
        self.begin()

    def savepoint(self, sql: str) -> None:
        self._savepoints.append((_name(sql), len(self.captured) + 1))  # which stays itself

    def release(self, sql: str) -> None:
        place = self._place(sql)
        if place is not None:
            del self._savepoints[place:]

    def rollback_to(self, sql: str) -> None:
        """Back to a savepoint, which stays; those after it are gone. PostgreSQL refuses a name that there is not."""
        place = self._place(sql)
        if place is not None:
            del self._savepoints[place + 1 :]
            self._undo(self._savepoints[place][1])

    def _undo(self, since: int) -> None:
        self._regions += 1
        for number in range(since, len(self.captured)):
            statement = self.captured[number]
            self.captured[number] = replace(statement, undone=(self._regions, *statement.undone))

    def _place(self, sql: str) -> int | None:
        """The latest savepoint of the name: a later one hides an earlier one."""
        name = _name(sql)
        places = [place for place, (known, _) in enumerate(self._savepoints) if known == name]
        return places[-1] if places else None


def _name(sql: str) -> str:
    """The name at the end of SAVEPOINT, RELEASE and ROLLBACK TO."""
    found = _NAME.search(sql)
    word = found[1] if found else ""
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
