"""Finds the functions and classes of the application that a backfill names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from evolve.errors import Misuse


class CannotImport(Misuse):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f'"{path}" cannot be imported here: {reason}',
            why="a backfill is declared there, or its function, which every process that works on the run calls",
            fix=f'start it where python -c "import {path.partition(":")[0]}" works, or name that folder with -C',
        )


class NoFunction(Misuse):
    def __init__(self, path: str) -> None:
        super().__init__(f'"{path}" is no function', fix="name a function as package.module:function")


def imported(path: str, folder: Path | None = None) -> object:
    """
    Args:
        path: "package.module:name"; the name may have dots.
        folder: where modules are found, beside those of this Python; the current folder unless given.

    Raises:
        CannotImport: also where the module itself fails.
    """
    module, _, name = path.partition(":")
    found: object = module_at(module, folder)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise CannotImport(path, str(error)) from error
    return found


def module_at(name: str, folder: Path | None = None) -> ModuleType:
    """
    Raises:
        CannotImport: there is no such module, or it fails.
    """
    search(folder or Path())
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:  # importing runs the application's own code
        raise CannotImport(name, f"{type(error).__name__}: {error}") from error


def search(folder: Path) -> None:
    """Let modules be found in `folder` as well."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)


def function_at(path: str, folder: Path | None = None) -> Callable[..., object]:
    """The function, also where a declaration of a backfill stands under that name.

    Raises:
        CannotImport, NoFunction
    """
    found = imported(path, folder)
    declared: object = getattr(found, "function", None)
    function = found if declared is None else declared
    if not callable(function):
        raise NoFunction(path)
    return function
