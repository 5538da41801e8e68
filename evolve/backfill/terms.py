"""What a command line says of a run beside its limits: when it may work, its workers, how long statements wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Each may be left open: None.

    Args:
        windows: as `hours.Hours` reads them; the run works while one of them is open.
        workers: of the process that leads.
        lock_timeout, statement_timeout: milliseconds, for each statement of a batch.
    """

    windows: tuple[str, ...] | None = None
    workers: int | None = None
    lock_timeout: int | None = None
    statement_timeout: int | None = None

    def over(self, below: Terms) -> Terms:
        """What is left open here is as it is there."""
        return Terms(
            below.windows if self.windows is None else self.windows,
            below.workers if self.workers is None else self.workers,
            below.lock_timeout if self.lock_timeout is None else self.lock_timeout,
            below.statement_timeout if self.statement_timeout is None else self.statement_timeout,
        )

    @property
    def words(self) -> tuple[str, ...]:
        """As a person reads them."""
        return tuple(
            f'window="{"; ".join(value)}"'
            if isinstance(value, tuple)
            else f"{name.replace('_', '-')}={value}"
            for name, value in self._said.items()
        )

    @property
    def _said(self) -> dict[str, tuple[str, ...] | int]:
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, list[str] | int]:
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in self._said.items()
        }

    @staticmethod
    def from_json(stored: Mapping[str, object]) -> Terms:
        """Out of an object that may hold more."""
        windows = stored.get("windows")
        return Terms(
            tuple(map(str, windows)) if isinstance(windows, list) else None,
            *(_whole(stored.get(name)) for name in ("workers", "lock_timeout", "statement_timeout")),
        )


UNSAID = Terms()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
