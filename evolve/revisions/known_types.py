"""Column types of well-known packages, by their name, so that a package need not be installed to know the type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.types import UserDefinedType

Arguments = tuple[object, ...]
Options = Mapping[str, object]
Spec = Callable[[Arguments, Options], str | None]


class KnownType(UserDefinedType[object]):
    """A column type given by its SQL."""

    cache_ok = True

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def get_col_spec(self, **_: object) -> str:
        return self.spec


def known_type(name: str, args: Arguments, kwargs: Options) -> KnownType | None:
    """The column type that calling `name` (package and class) would make; None where that is not known for sure."""
    package, _, rest = name.partition(".")
    find = _TYPES.get((package, rest.rpartition(".")[2]))
    spec = find(args, kwargs) if find is not None else None
    return KnownType(spec) if spec is not None else None


def makes_more(name: str, kwargs: Options) -> bool:
    """Whether a column of that type brings something of its own, which only the package knows to make: an index."""
    return name.startswith("geoalchemy2.") and kwargs.get("spatial_index", True) is not False


def _always(spec: str) -> Spec:
    return lambda args, kwargs: spec


def _varchar(default: int | None, option: str = "length", position: int = 0) -> Spec:
    def spec(args: Arguments, kwargs: Options) -> str | None:
        length = kwargs.get(option, args[position] if len(args) > position else default)
        if length is None:
            return "VARCHAR"
        return f"VARCHAR({length})" if isinstance(length, int) else None

    return spec


def _sized(name: str) -> Spec:
    def spec(args: Arguments, kwargs: Options) -> str | None:
        size = kwargs.get("dim", args[0] if args else None)
        if size is None:
            return name
        return f"{name}({size})" if isinstance(size, int) else None

    return spec


def _spatial(name: str) -> Spec:
    def spec(args: Arguments, kwargs: Options) -> str | None:
        kind = kwargs.get("geometry_type", args[0] if args else "GEOMETRY")
        srid = kwargs.get("srid", args[1] if len(args) > 1 else -1)
        return f"{name}({kind},{srid})" if isinstance(kind, str) and isinstance(srid, int) else None

    return spec


_TYPES: dict[tuple[str, str], Spec] = {
    ("sqlmodel", "AutoString"): _varchar(None),
    ("sqlmodel", "GUID"): _always("UUID"),
    ("fastapi_users_db_sqlalchemy", "GUID"): _always("UUID"),
    ("fastapi_users_db_sqlalchemy", "TIMESTAMPAware"): _always("TIMESTAMP WITH TIME ZONE"),
    ("citext", "CIText"): _always("CITEXT"),
    ("pgvector", "Vector"): _sized("VECTOR"),
    ("pgvector", "VECTOR"): _sized("VECTOR"),
    ("pgvector", "HALFVEC"): _sized("HALFVEC"),
    ("pgvector", "SPARSEVEC"): _sized("SPARSEVEC"),
    ("geoalchemy2", "Geometry"): _spatial("geometry"),
    ("geoalchemy2", "Geography"): _spatial("geography"),
    ("sqlalchemy_utils", "UUIDType"): _always("UUID"),
    ("sqlalchemy_utils", "JSONType"): _always("JSON"),
    ("sqlalchemy_utils", "EmailType"): _varchar(255),
    ("sqlalchemy_utils", "URLType"): _always("TEXT"),
    ("sqlalchemy_utils", "IPAddressType"): _varchar(50, "max_length"),
    ("sqlalchemy_utils", "PhoneNumberType"): _varchar(20, "max_length", 1),
    ("sqlalchemy_utils", "ColorType"): _varchar(20, "max_length"),
    ("sqlalchemy_utils", "CountryType"): _always("VARCHAR(2)"),
    ("sqlalchemy_utils", "CurrencyType"): _always("VARCHAR(3)"),
    ("sqlalchemy_utils", "LocaleType"): _always("VARCHAR(10)"),
    ("sqlalchemy_utils", "ArrowType"): _always("TIMESTAMP WITHOUT TIME ZONE"),
    ("sqlalchemy_utils", "PasswordType"): _always("BYTEA"),
    ("sqlalchemy_utils", "EncryptedType"): _always("BYTEA"),
    ("sqlalchemy_utils", "StringEncryptedType"): _always("VARCHAR"),
    ("sqlalchemy_utils", "LtreeType"): _always("LTREE"),
    ("sqlalchemy_utils", "TSVectorType"): _always("TSVECTOR"),
    ("sqlalchemy_utils", "ScalarListType"): _always("TEXT"),
}
