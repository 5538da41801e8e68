"""Libraries that want a terminal, a thread or a server for what a reading needs none for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

from evolve.revisions.imports import Action
from evolve.revisions.patches import Callee, Patches, method


def accept_libraries(patches: Patches) -> dict[str, Action]:
    """Install what concerns modules that are imported already; `patches` takes it out again.

    Returns:
        shims for the others: to be called once they are imported.
    """

    def progress_of_rich(module: ModuleType) -> None:
        patches.set(module, "track", lambda sequence, *_, **__: iter(sequence))
        patches.set(module.Progress, "track", lambda _, sequence, *__, **___: iter(sequence))
        patches.set(module.Progress, "start", lambda _: None)  # a thread would draw it

    def progress_of_tqdm(module: ModuleType) -> None:
        patches.set(module.tqdm, "monitor_interval", 0)  # a thread would watch it

    def composed_sql(module: ModuleType) -> None:
        for name in ("Composable", "Composed", "SQL", "Identifier", "Literal", "Placeholder"):
            for written in {"as_bytes", "as_string"} & set(vars(getattr(module, name))):
                owner = getattr(module, name)
                patches.set(owner, written, _without_connection(method(owner, written)))

    actions: Mapping[str, Action] = {
        "rich.progress": progress_of_rich,
        "tqdm.std": progress_of_tqdm,
        "psycopg.sql": composed_sql,
    }
    later: dict[str, Action] = {}
    for name, action in actions.items():
        module = sys.modules.get(name)
        if module is None:
            later[name] = action
        else:
            action(module)
    return later


def _without_connection(original: Callee) -> Callee:
    """Psycopg asks libpq of a connection how to quote; without one it knows itself."""

    def write(self: object, context: object = None) -> object:
        del context
        return original(self, None)

    return write
