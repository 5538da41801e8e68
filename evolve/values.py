"""`dataclass` for values: frozen, with slots, as the standard library makes them, at a fraction of its price.

There are hundreds of such classes, and each start of evolve makes them. The standard library compiles six functions
for each; here all are closures but `__init__`, which is compiled when the first value is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # who checks types need not know the difference
else:
    import dataclasses
    from operator import attrgetter

    _MADE_HERE = {
        "__init__",
        "__repr__",
        "__eq__",
        "__hash__",
        "__setattr__",
        "__delattr__",
        "__getstate__",
        "__setstate__",
    }
    _NOT_GIVEN = object()

    def dataclass(cls=None, /, **options):
        """Make classes that are frozen and have slots; all that is less common is left to the standard library."""
        if cls is None and options == {"frozen": True, "slots": True}:
            return _value
        return dataclasses.dataclass(cls, **options)

    def _value(cls):
        types = " ".join(map(str, cls.__dict__.get("__annotations__", {}).values()))  # noqa: RUF063  # inspect is slow to import
        inherits = any(map(dataclasses.is_dataclass, cls.__mro__))
        if inherits or "ClassVar" in types or "InitVar" in types or not _MADE_HERE.isdisjoint(vars(cls)):
            return dataclasses.dataclass(frozen=True, slots=True)(cls)
        if not cls.__doc__:
            cls.__doc__ = f"{cls.__name__}(…)"  # or its signature would be worked out for it
        made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
        given = made.__dataclass_params__
        given.init = given.repr = given.eq = given.frozen = True
        for method in _methods(made, dataclasses.fields(made)):
            method.__qualname__ = f"{made.__qualname__}.{method.__name__}"
            method.__module__ = made.__module__
            setattr(made, method.__name__, method)
        return made

    def _methods(made, fields):
        names = [field.name for field in fields]
        shown = [field.name for field in fields if field.repr]
        compared = _getter(field.name for field in fields if field.compare)
        hashed = _getter(
            field.name for field in fields if (field.compare if field.hash is None else field.hash)
        )
        everything = _getter(names)

        def __init__(self, *arguments, **named):
            made.__init__ = _compiled(made, fields)
            made.__init__(self, *arguments, **named)

        def __repr__(self):
            values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
            return f"{type(self).__qualname__}({values})"

        def __eq__(self, other):
            return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

        def __hash__(self):
            return hash(hashed(self))

        def __setattr__(self, name, value):
            if type(self) is made or name in names:
                raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
            super(made, self).__setattr__(name, value)

        def __delattr__(self, name):
            if type(self) is made or name in names:
                raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
            super(made, self).__delattr__(name)

        def __getstate__(self):
            return list(everything(self))

        def __setstate__(self, state):
            for name, value in zip(names, state, strict=True):
                object.__setattr__(self, name, value)

        return (
            __init__,
            __repr__,
            __eq__,
            __hash__,
            __setattr__,
            __delattr__,
            __getstate__,
            __setstate__,
        )

    def _getter(names):
        """What makes a tuple of these attributes."""
        names = tuple(names)
        if len(names) > 1:
            return attrgetter(*names)
        return (lambda value: (getattr(value, names[0]),)) if names else lambda _: ()

    def _compiled(made, fields):
        parameters, lines, known = ["self"], [], {"not_given": _NOT_GIVEN}
        for field in sorted(fields, key=lambda field: field.kw_only):
            name = field.name
            known[f"set_{name}"] = getattr(made, name).__set__
            value = name
            if field.default is not dataclasses.MISSING:
                known[f"default_{name}"] = field.default
                parameter = f"{name}=default_{name}"
                value = name if field.init else f"default_{name}"
            elif field.default_factory is not dataclasses.MISSING:
                known[f"make_{name}"] = field.default_factory
                parameter = f"{name}=not_given"
                value = (
                    f"make_{name}() if {name} is not_given else {name}" if field.init else f"make_{name}()"
                )
            elif field.init:
                parameter = name
            else:
                continue
            if field.init:
                if field.kw_only and "*" not in parameters:
                    parameters.append("*")
                parameters.append(parameter)
            lines.append(f"set_{name}(self, {value})")
        if hasattr(made, "__post_init__"):
            lines.append("self.__post_init__()")
        body = "\n ".join(lines or ["pass"])
        exec(f"def __init__({', '.join(parameters)}):\n {body}", known)  # noqa: S102  # of names of fields alone
        known["__init__"].__qualname__ = f"{made.__qualname__}.__init__"
        return known["__init__"]
