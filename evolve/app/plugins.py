"""Which plugins are installed, and which partitioning method a name means."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from evolve.errors import Misuse
from evolve.plugin_api import Partitioner
from evolve.plugin_loader import LoadedPlugin, load_plugins, partitioners


class NoSuchMethod(Misuse):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        super().__init__(
            f'there is no partitioning method "{name}"',
            fix=f'did you mean "{near[0]}"?'
            if near
            else f"installed are {', '.join(known) or 'none'}: evolve plugins",
        )


def installed_plugins() -> tuple[LoadedPlugin, ...]:
    """Every installed plugin, sorted by name; raises what `load_plugins` raises."""
    return load_plugins()


def method_named(name: str) -> type[Partitioner]:
    """
    Raises:
        NoSuchMethod: no plugin brings it.
    """
    known = partitioners(load_plugins())
    if name not in known:
        raise NoSuchMethod(name, sorted(known))
    return known[name]
