"""Stand-ins for modules that cannot be imported here: inert, false, and remembering where a revision touched them.

A stub is false on purpose: a guard such as `if already_done(): return` must not hide what follows it. Column types of
well-known packages are told apart, so that a missing package does not cost the type of a column.
"""

from __future__ import annotations

import builtins
import dis
import importlib
import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Protocol, Self

from sqlalchemy import ClauseElement, literal_column, table
from sqlalchemy.types import UserDefinedType

from evolve.revisions.imports import WrappedLoader
from evolve.revisions.known_types import known_type, makes_more
from evolve.revisions.libraries import known_object
from evolve.revisions.literals import Unknown

_NEVER_STUBBED = frozenset({"alembic", "sqlalchemy", "evolve", "greenlet"}) | sys.stdlib_module_names
_INSTALLED = ("site-packages", "dist-packages")


class Touched(Protocol):
    """Told the dotted name of a stub whenever a revision uses it."""

    def __call__(self, name: str) -> None: ...


class Stub(UserDefinedType[object], tzinfo, Unknown):
    """Any object of a module that is not there.

    It passes for a column type, too, and says it is text; for a time zone, which is UTC; and for a table or a column.
    """

    cache_ok = True
    touched: Touched | None = None
    _stub_name: str

    def __init__(self, *_: object, **__: object) -> None:
        self.__dict__.setdefault("_stub_name", "stub")

    @classmethod
    def named(cls, name: str) -> Self:
        made = cls()
        made.__dict__["_stub_name"] = name
        return made

    def use(self) -> Stub:
        """Note that a revision uses it; what comes of it is a stub again."""
        return self._other("()")

    def _touch(self) -> None:
        if Stub.touched is not None:
            Stub.touched(self._stub_name.replace("()", "").replace("[]", ""))

    def _other(self, suffix: str = "") -> Stub:
        self._touch()
        return self.named(f"{self._stub_name}{suffix}")

    @property
    def last_name(self) -> str:
        """The last word of its dotted name."""
        plain = self._stub_name.replace("()", "").replace("[]", "").partition(" (")[0]
        return plain.rpartition(".")[2]

    def get_col_spec(self, **_: object) -> str:
        self._touch()
        return "TEXT"

    def __getattr__(self, name: str) -> object:
        if name == "__tablename__":
            self._touch()
            return "stub_" + "".join(letter if letter.isalnum() else "_" for letter in self._stub_name)
        if name in ("__name__", "__qualname__"):
            return self.last_name
        if name == "__subclasses__":
            return list
        if name == "__members__":
            return {}
        if _is_private(name) and not _asked_by_library(sys._getframe(1)):  # noqa: SLF001  # its caller
            return self.named(f"{self._stub_name}.{name}")
        if name.startswith("_") and name != "__table__":
            raise AttributeError(name)
        # Looking deeper is no use yet: `sqlmodel.sql.sqltypes.AutoString()` may end at something known.
        return self.named(f"{self._stub_name}.{name}")

    def compile(self, *_: object, **__: object) -> Stub:  # type: ignore[override]  # of a statement, not of a type
        return self._other(".compile()")

    def __clause_element__(self) -> ClauseElement:
        self._touch()
        name = self.last_name
        is_class = name[:1].isupper() and not name.isupper()
        return table(f"stub_{name.lower()}") if is_class else literal_column(f"stub_{name.lower()}")

    def __call__(self, *args: object, **kwargs: object) -> object:
        known = known_type(self._stub_name, args, kwargs) or known_object(self._stub_name, args, kwargs)
        if known is not None:
            if makes_more(self._stub_name, kwargs):
                self._touch()
            return known
        only = args[0] if len(args) == 1 and not kwargs else None
        if callable(only) and hasattr(only, "__qualname__"):
            return only  # as a decorator it changes nothing
        return self._other("()")

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        # A class has one metaclass; where another base brings its own, this one must not.
        metas = {type(base) for base in bases if isinstance(base, type)}
        return (StubBase,) if metas <= {type, ABCMeta, _StubMeta} else (PlainStubBase,)

    def __iter__(self) -> Iterator[object]:
        self._touch()
        return iter([self._other("[]") for _ in range(_unpacked(sys._getframe(1)))])  # noqa: SLF001  # its caller

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        self._touch()
        return False

    def __getitem__(self, key: object) -> Stub:
        return self._other("[]")

    def __contains__(self, key: object) -> bool:
        self._touch()
        return False

    def __str__(self) -> str:
        self._touch()
        return "stub"

    __fspath__ = __str__

    def __repr__(self) -> str:
        return f"<stub {self._stub_name}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | int | float):
            self._touch()
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self) -> Stub:
        return self._other()

    def __exit__(self, *_: object) -> None:
        return None

    # Nothing, as a number: a loop "while some are left" ends.
    def __lt__(self, other: object) -> bool:
        self._touch()
        return isinstance(other, int | float) and other > 0

    def __gt__(self, other: object) -> bool:
        self._touch()
        return isinstance(other, int | float) and other < 0

    def __le__(self, other: object) -> bool:
        return not self > other

    def __ge__(self, other: object) -> bool:
        return not self < other

    def __int__(self) -> int:
        self._touch()
        return 1  # as the size of a step it must not be 0

    __index__ = __int__

    def __float__(self) -> float:
        self._touch()
        return 1.0

    def _combine(self, other: object) -> Stub:
        del other
        return self._other()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __or__ = (
        __ror__
    ) = __and__ = __rand__ = __mod__ = __rmod__ = __floordiv__ = __pow__ = __lshift__ = __rshift__ = _combine

    def __invert__(self) -> Stub:
        return self._other()

    __neg__ = __pos__ = __abs__ = __invert__

    # As a time zone.
    def utcoffset(self, dt: datetime | None) -> timedelta:
        del dt
        return timedelta(0)

    dst = utcoffset

    def tzname(self, dt: datetime | None) -> str:
        del dt
        return "UTC"

    def fromutc(self, dt: datetime) -> datetime:
        return dt


class UnknownValue(Stub):
    """A value of a row that was made up so that a reading may go on; that rows were read is marked elsewhere."""

    def _touch(self) -> None:
        """Not a module that is missing."""

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return 1


def _unpacked(frame: FrameType) -> int:
    """How many names the caller unpacks into; 0 where it does anything else."""
    code = frame.f_code.co_code
    at = frame.f_lasti
    if at < 0 or dis.opname[code[at]] not in ("UNPACK_SEQUENCE", "UNPACK_EX"):
        return 0
    return code[at + 1]


def _is_private(name: str) -> bool:
    """`_value`, which a model may well have, not `__html__`; of a function its code, which names its parameters."""
    return name == "__code__" or (name.startswith("_") and not name.startswith(("__", "_sa_")))


def _asked_by_library(frame: FrameType) -> bool:
    """Whether it is a library that tries what it has been given, which has an answer for what is not there."""
    asking = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return asking in _NEVER_STUBBED or any(part in frame.f_code.co_filename for part in _INSTALLED)


class _StubMeta(ABCMeta):
    """Lets a class whose base is missing be asked for what the base would have given it."""

    def __getattr__(cls, name: str) -> object:
        if name.startswith("_") and name not in ("__table__", "__tablename__"):
            raise AttributeError(name)
        found: object = getattr(Stub.named(f"{cls.__module__}.{cls.__name__}"), name)
        return found


class PlainStubBase:
    """What a class inherits from when its base class is not there."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __init_subclass__(cls, **_: object) -> None:
        super().__init_subclass__()


class StubBase(PlainStubBase, metaclass=_StubMeta):
    """The same, where no other base has a metaclass of its own."""


class StubModule(ModuleType):
    def __getattr__(self, name: str) -> object:
        if (
            name == "__all__"
        ):  # `from module import *`: whatever its importer speaks of and nothing else defines
            importing = sys._getframe(1)  # noqa: SLF001  # its caller
            spoken_of = _names(importing.f_code) - set(importing.f_globals) - set(vars(builtins))
            return sorted(name for name in spoken_of if not name.startswith("_"))
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub.named(f"{self.__name__}.{name}")


def _names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


class _StubLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = StubModule(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: ModuleType) -> None:
        """A stub has no code."""


def _load_tolerantly(inner: Loader, module: ModuleType) -> None:
    """Load a module of the project; what is missing after it failed halfway, or was never there, is a stub.

    So is what is not there yet: two modules that import each other may do so from another entry only.
    """
    name = module.__name__
    reason = f" ({name} is being loaded)"

    def missing(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        # `from package import module` asks for an attribute before it looks for the module's file.
        if "__path__" in vars(module) and PathFinder.find_spec(f"{name}.{attribute}", module.__path__):
            return importlib.import_module(f"{name}.{attribute}")
        return Stub.named(f"{name}.{attribute}{reason}")

    module.__dict__["__getattr__"] = missing
    try:
        inner.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever an application does when it is imported
        reason = f" ({name} could not be loaded: {type(error).__name__}: {error})"
    else:
        reason = ""


class Importer:
    """Finders that let revisions import the application where it is there, and anything else as stubs.

    Args:
        own: directories whose code may see stubs; a library that tries whether an optional package is there may not.
        sources: where the application is importable from; modules found there load tolerantly.
        beside: directories of the revisions themselves, whose modules are never stubs.
    """

    def __init__(self, own: Sequence[Path], sources: Sequence[Path], beside: Sequence[Path] = ()) -> None:
        self._own = tuple(f"{path}/" for path in dict.fromkeys((*own, *sources, *beside)))
        self._beside = tuple(f"{path}/" for path in beside)
        self._application = True
        self._sources = [str(path) for path in sources]
        self.first: MetaPathFinder = _ProjectFinder(self)
        self.last: MetaPathFinder = _StubFinder(self)

    def is_own(self, filename: str) -> bool:
        return filename.startswith(self._own) and not any(part in filename for part in _INSTALLED)

    def project_spec(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        if name.partition(".")[0] in _NEVER_STUBBED:
            return None
        spec = PathFinder.find_spec(name, self._sources if path is None else list(path))
        if spec is None:
            spec = self._installed_spec(name, path)
        if spec is None or spec.loader is None or spec.origin is None or not self.is_own(spec.origin):
            return None
        if not self._application and not spec.origin.startswith(self._beside):
            return ModuleSpec(name, _StubLoader(), is_package=True)
        spec.loader = WrappedLoader(spec.loader, _load_tolerantly)
        return spec

    @contextmanager
    def without_application(self) -> Iterator[None]:
        """Let the application's own modules be stubs as well: it may need more than its source to do anything."""
        kept = dict(sys.modules)
        for name, module in kept.items():
            origin = getattr(getattr(module, "__spec__", None), "origin", None)
            if isinstance(origin, str) and self.is_own(origin) and not origin.startswith(self._beside):
                del sys.modules[name]
        self._application = False
        try:
            yield
        finally:
            self._application = True
            for name in set(sys.modules) - set(kept):
                if isinstance(sys.modules[name], StubModule):
                    del sys.modules[name]
            sys.modules.update(kept)

    def _installed_spec(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """What Python itself would find: an application may be installed in development mode."""
        for finder in sys.meta_path:
            if finder not in (self.first, self.last):
                spec = finder.find_spec(name, path, None)
                if spec is not None:
                    return spec
        return None

    def stub_spec(self, name: str) -> ModuleSpec | None:
        if name.partition(".")[0] in _NEVER_STUBBED or not self._asked_by_own_code():
            return None
        return ModuleSpec(name, _StubLoader(), is_package=True)

    def _asked_by_own_code(self) -> bool:
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001  # the documented way to one's own stack
        while frame is not None:
            filename = frame.f_code.co_filename
            if not filename.startswith("<frozen importlib") and filename not in (
                __file__,
                importlib.__file__,
            ):
                return self.is_own(filename)
            frame = frame.f_back
        return False


class _ProjectFinder(MetaPathFinder):
    def __init__(self, importer: Importer) -> None:
        self._importer = importer

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        return self._importer.project_spec(fullname, path)


class _StubFinder(MetaPathFinder):
    def __init__(self, importer: Importer) -> None:
        self._importer = importer

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        return self._importer.stub_spec(fullname)


def forget_modules(before: dict[str, ModuleType], importer: Importer) -> None:
    """Put `sys.modules` back: stubs and the project's own modules go, installed libraries stay.

    A library is loaded for good: an extension module cannot be loaded twice, and SQLAlchemy's classes must stay single.
    """
    # All are looked at before any goes: the path of a namespace package is asked of the package above it.
    forgotten = [
        (name, module)
        for name, module in list(sys.modules.items())
        if name not in before and (isinstance(module, StubModule) or _is_own(module, importer))
    ]
    for name, module in forgotten:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        holder = sys.modules.get(parent)
        if holder is not None and holder.__dict__.get(child) is module:
            delattr(holder, child)
    for name, module in before.items():
        if sys.modules.get(name) is not module:
            sys.modules[name] = module


def _is_own(module: ModuleType, importer: Importer) -> bool:
    origin = getattr(getattr(module, "__spec__", None), "origin", None) or getattr(module, "__file__", None)
    if isinstance(origin, str) and importer.is_own(origin):
        return True
    try:
        locations = [str(location) for location in getattr(module, "__path__", None) or ()]
    except KeyError:  # a namespace package whose parent a revision took out of sys.modules
        return True
    return any(importer.is_own(f"{location}/") for location in locations)
