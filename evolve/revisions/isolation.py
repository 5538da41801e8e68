"""The process as it was before revisions were read: modules, paths, warnings, output and Alembic's proxies."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import alembic.context
import alembic.op
from alembic.operations import BatchOperations, Operations
from alembic.operations.base import AbstractOperations

from evolve.revisions.guard import DRIVERS, Guard
from evolve.revisions.imports import Action, AfterImport
from evolve.revisions.project import Project
from evolve.revisions.stubs import Importer, Stub, forget_modules


@contextmanager
def isolated(
    project: Project, importer: Importer, guard: Guard, after_import: Mapping[str, Action]
) -> Iterator[None]:
    """Let revisions of `project` run as Alembic would run them, from its root; then put everything back.

    Args:
        after_import: what to do once a module has been imported, if a revision is the first to do so.
    """
    with ExitStack() as stack:
        stack.enter_context(_alembic_registries())
        stack.enter_context(
            _imports(project, importer, {**dict.fromkeys(DRIVERS, guard.disarm), **after_import})
        )
        stack.enter_context(_surroundings(project.root, importer))
        stack.enter_context(_logging())
        stack.enter_context(_silence())
        stack.enter_context(guard)
        yield


@contextmanager
def _imports(project: Project, importer: Importer, actions: Mapping[str, Action]) -> Iterator[None]:
    path, finders, modules = sys.path, sys.meta_path, dict(sys.modules)
    saved_path, saved_finders, bytecode = list(path), list(finders), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    path[:0] = [str(source) for source in project.source_paths]
    # Modules that revisions share lie beside them; they come last, so that none can hide a library.
    path += [str(directory) for directory in (*project.version_directories, project.script_directory)]
    finders.insert(0, importer.first)
    finders.insert(0, AfterImport(actions))
    finders.append(importer.last)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path, sys.meta_path, sys.dont_write_bytecode = path, finders, bytecode
        path[:], finders[:] = saved_path, saved_finders
        forget_modules(modules, importer)


@contextmanager
def _surroundings(root: Path, importer: Importer) -> Iterator[None]:
    environment, arguments, here = dict(os.environ), list(sys.argv), Path.cwd()
    plain = type(os.environ)
    os.chdir(root)
    try:
        os.environ.__class__ = _tolerant_environment(importer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.__class__ = plain
        os.chdir(here)
        sys.argv[:] = arguments
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def _tolerant_environment(importer: Importer) -> type[os._Environ[str]]:
    """A variable that the application cannot do without, and that is set only where it runs, is a stub."""

    class Environment(os._Environ[str]):  # noqa: SLF001  # the class of `os.environ`
        def __getitem__(self, name: str) -> str:
            try:
                return super().__getitem__(name)
            except KeyError:
                if importer.is_own(sys._getframe(1).f_code.co_filename):  # noqa: SLF001  # not `environ.get()`
                    return Stub.named(f"the environment variable {name}")  # type: ignore[return-value]
                raise

    return Environment


@contextmanager
def _logging() -> Iterator[None]:
    """An application that sets up logging when it is imported would take over the command's own."""
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)


@contextmanager
def _alembic_registries() -> Iterator[None]:
    """Operations that a project registers of its own, and the proxies `alembic.op` and `alembic.context`."""
    classes = (AbstractOperations, Operations, BatchOperations)
    attributes = {owner: set(vars(owner)) for owner in classes}
    registry = Operations._to_impl._registry  # noqa: SLF001  # Alembic has no way to unregister
    saved_registry = dict(registry)
    modules = {module: dict(vars(module)) for module in (alembic.op, alembic.context)}
    try:
        yield
    finally:
        for owner, names in attributes.items():
            for name in set(vars(owner)) - names:
                type.__delattr__(owner, name)
        registry.clear()
        registry.update(saved_registry)
        for module, saved in modules.items():
            for name in set(vars(module)) - set(saved):
                del vars(module)[name]
            vars(module).update(saved)


class _Sink:
    """A stream that swallows what one thread writes; others write through."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def _silence() -> Iterator[None]:
    """The command's output is a report; what revisions print is no part of it."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Sink(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
