"""Modules that are loaded when something of them is first used, for libraries that import more than they need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import ClassVar


@contextmanager
def late(modules: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Let imports of `modules` that are made inside wait until somebody looks at one.

    Whoever asks for anything in such a module, or for a module below it, loads it as its import would have. What is
    imported already stays as it is.

    Args:
        modules: with the names of functions, or of classes that are only called, that others take out of each at once:
            calling one of these loads the module.
    """
    finder = _Finder(modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    def __init__(self, modules: Mapping[str, Sequence[str]]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        spec = PathFinder.find_spec(fullname, path) if fullname in self._modules else None
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader, self._modules[fullname])
        return spec


class _LateLoader(Loader):
    """Leaves a module empty until it is told to `load` it through `inner`."""

    # One for all: modules that load each other must not wait for each other.
    _one_at_a_time: ClassVar = RLock()

    def __init__(self, inner: Loader, called: Sequence[str]) -> None:
        self._inner = inner
        self._called = called
        self._loading = False

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).pop("__path__", None)  # what asks for it is about to import a module below this one
        vars(module).update((name, _stand_in(module, name)) for name in self._called)
        module.__class__ = _Late

    def load(self, module: ModuleType) -> None:
        """Nothing happens while it is being loaded already: it asks for itself in a circle."""
        with self._one_at_a_time:
            if self._loading or type(module) is not _Late:
                return
            self._loading = True
            for name in self._called:
                vars(module).pop(name, None)
            spec = vars(module)["__spec__"]
            spec.loader = vars(module)["__loader__"] = self._inner
            if spec.submodule_search_locations is not None:
                vars(module)["__path__"] = spec.submodule_search_locations
            try:
                self._inner.exec_module(module)
            except BaseException:
                self._loading = False
                spec.loader = vars(module)["__loader__"] = self
                raise
            ModuleType.__setattr__(module, "__class__", ModuleType)


def _stand_in(module: ModuleType, name: str) -> Callable[..., object]:
    def call(*args: object, **kwargs: object) -> object:
        _load(module)
        found: Callable[..., object] = getattr(module, name)
        return found(*args, **kwargs)

    return call


def _load(module: ModuleType) -> None:
    loader = vars(module)["__spec__"].loader
    if isinstance(loader, _LateLoader):
        loader.load(module)


class _Late(ModuleType):
    """Knows what the machinery of imports has set; any other question loads it."""

    def __getattr__(self, name: str) -> object:
        if name != "__path__" or vars(self)["__spec__"].submodule_search_locations is not None:
            _load(self)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        _load(self)
        ModuleType.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        _load(self)
        ModuleType.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        _load(self)
        return dir(self)
