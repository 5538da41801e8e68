"""Loaders that stand in for a module's own while it loads: to do something after it, or to survive what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

Action = Callable[[ModuleType], None]


class WrappedLoader(Loader):
    """Loads as `inner` does, through `run`; the module never sees the difference."""

    def __init__(self, inner: Loader, run: Callable[[Loader, ModuleType], None]) -> None:
        self._inner = inner
        self._run = run

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Resources and sources are asked of the loader, and the module may outlive this one.
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._run(self._inner, module)


class AfterImport(MetaPathFinder):
    """Calls the action of a module once it is imported."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = actions

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        action = self._actions.get(fullname)
        spec = PathFinder.find_spec(fullname, path) if action is not None else None
        if action is None or spec is None or spec.loader is None:
            return None

        def run(inner: Loader, module: ModuleType) -> None:
            inner.exec_module(module)
            action(module)

        spec.loader = WrappedLoader(spec.loader, run)
        return spec
