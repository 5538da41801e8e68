"""Rows of a batch as objects of a mapped class, in a session that lives in the batch's transaction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Column, Connection, create_engine, select, tuple_
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.inspection import inspect as inspected
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.pool import StaticPool

from evolve.backfill.calling import BROKEN, RAISED, FunctionFailed, Row, Values, last_line
from evolve.backfill.transform import Transform
from evolve.errors import Misuse

AT_ONCE = 1_000  # keys in one SELECT: a statement takes 65,535 parameters


class BadModel(Misuse):
    def __init__(self, work: Transform, reason: str, fix: str) -> None:
        super().__init__(f'{work.function} cannot work on objects of "{work.model}": {reason}', fix=fix)


class ObjectCaller:
    """Calls a function with objects, and a session that can read whatever else the function needs.

    The session is never flushed: what the function assigned is taken from the objects and written like the answers of
    any other function, so that the undo journal has it. An object on which nothing was assigned is left as it is.

    Args:
        function: takes a list of objects and the session; or one object and the session, where the work says `each`.
        key: names of the key's columns, which must be the primary key of the class.

    Raises:
        BadModel
    """

    def __init__(
        self, work: Transform, function: Callable[..., object], model: object, key: tuple[str, ...]
    ) -> None:
        self._work = work
        self._function = function
        self._key = key
        self._mapper = _mapper(work, model)
        if inspect.iscoroutinefunction(function):
            raise BadModel(work, "it is asynchronous", "make it a plain function, or leave out model=")
        if tuple(sorted(column.name for column in self._mapper.primary_key)) != tuple(sorted(key)):
            raise BadModel(
                work,
                f"the backfill walks ({', '.join(key)}), which is not its primary key",
                "leave out key=, or leave out model= and take dictionaries",
            )
        columns = {column.name: column for column in self._mapper.columns if isinstance(column, Column)}
        for name in (*work.writes, *work.reads):
            if name not in columns:
                raise BadModel(work, f'it maps no column "{name}"', f"name some of: {', '.join(columns)}")
        self._columns = columns
        self._held: tuple[object, Connection] | None = None

    def __call__(self, rows: Sequence[Row], connection: object = None) -> list[Values | None]:
        if not rows:
            return []
        own = self._connected(connection)
        with Session(bind=own, autoflush=False) as session:
            objects = self._loaded(session, rows)
            try:
                if self._work.each:
                    for each in objects:
                        self._function(each, session)
                else:
                    self._function(objects, session)
            except (Exception, SystemExit) as error:
                raise FunctionFailed(f"{self._work.function} raised {last_line(error)}", RAISED) from error
            return list(self._assigned(session, own, objects))

    def close(self) -> None:
        self._held = None

    def _connected(self, connection: object) -> Connection:
        if self._held is None or self._held[0] is not connection:
            lent = _Lent(connection)
            engine = create_engine(
                "postgresql+psycopg://",
                creator=lambda: lent,
                poolclass=StaticPool,
                use_native_hstore=False,
            )
            self._held = connection, engine.connect()
        return self._held[1]

    def _loaded(self, session: Session, rows: Sequence[Row]) -> list[object]:
        """In the order of the rows, which are locked: what is read now is what was locked."""
        parts = [self._columns[name] for name in self._key]
        found: dict[tuple[object, ...], object] = {}
        keys = [tuple(row[name] for name in self._key) for row in rows]
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            among = parts[0].in_([key[0] for key in some]) if len(parts) == 1 else tuple_(*parts).in_(some)
            for each in session.scalars(select(self._mapper.class_).where(among)):
                found[tuple(getattr(each, self._attribute(part)) for part in parts)] = each
        try:
            return [found[key] for key in keys]
        except KeyError as error:
            raise FunctionFailed(
                f'"{self._work.model}" does not load the row with key {error.args[0]}', BROKEN
            ) from error

    def _assigned(self, session: Session, own: Connection, objects: list[object]) -> Iterator[Values | None]:
        if session.new or session.deleted:
            what = "adds" if session.new else "deletes"
            raise self._broken(f"{what} objects: a backfill writes its own columns only")
        ours = {id(each) for each in objects}
        if any(id(each) not in ours and session.is_modified(each) for each in session.dirty):
            raise self._broken("assigns to objects that are not of its batch")
        columns = [self._columns[name] for name in self._work.writes]
        attributes = [self._attribute(column) for column in columns]
        spell = [column.type.dialect_impl(own.dialect).bind_processor(own.dialect) for column in columns]
        for each in objects:
            state: InstanceState[object] = inspected(each)
            changed = {attribute.key for attribute in state.attrs if attribute.history.has_changes()}
            if not changed:
                yield None
                continue
            for name in changed.difference(attributes):
                raise self._broken(
                    f'assigns "{name}", which is not in writes ({", ".join(self._work.writes)})'
                )
            values = (getattr(each, attribute) for attribute in attributes)
            yield tuple(
                value if process is None else process(value)
                for value, process in zip(values, spell, strict=True)
            )

    def _attribute(self, column: Column[object]) -> str:
        return self._mapper.get_property_by_column(column).key

    def _broken(self, what: str) -> FunctionFailed:
        return FunctionFailed(f"{self._work.function} {what}", BROKEN)


class _Lent:
    """The driver's connection, as the pool of an engine may have it: the transaction is not the engine's to end."""

    def __init__(self, connection: object) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


def _mapper(work: Transform, model: object) -> Mapper[object]:
    try:
        found = inspected(model)
    except NoInspectionAvailable:
        found = None
    if not isinstance(found, Mapper):
        raise BadModel(work, "it is no mapped class", "name a class of SQLAlchemy's declarative mapping")
    return found
