"""What deployed versions of an application have told: see `evolve.client`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of an application.

    Args:
        role: whom it logged in as.
        process: its host and process id.
        idle: seconds since it was last seen.
        state: "live"; "gone": it said farewell; "lost": it was not seen for longer than it said it would be silent.
    """

    role: str
    application: str
    version: str
    process: str
    since: datetime
    seen: datetime
    idle: float
    state: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an application, as one role runs it.

    Args:
        mapped: relation → its columns, None for all of them; None as a whole where its instances do not tell the same,
            or have not told yet.
    """

    application: str
    version: str
    role: str
    instances: tuple[Instance, ...]
    mapped: Mapping[str, tuple[str, ...] | None] | None

    @property
    def live(self) -> int:
        return sum(instance.state == "live" for instance in self.instances)


@dataclass(frozen=True, slots=True)
class Use:
    """A live version that maps some of what was asked for.

    Args:
        idle: seconds since the last of its instances was seen.
        maps: what of it, as in "users.name"; None: it has not told yet.
    """

    application: str
    version: str
    instances: int
    since: datetime
    idle: float
    maps: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Denials:
    """What the server refused to one version.

    Args:
        sqlstate: 42501 insufficient_privilege, 42703 undefined_column or 42P01 undefined_table.
        message: the last one's.
        last: when that was told.
    """

    application: str
    version: str
    sqlstate: str
    count: int
    message: str
    last: datetime
