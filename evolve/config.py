"""Settings: `[tool.evolve]` of pyproject.toml, or evolve.toml, as frozen values; unknown keys are errors.

[tool.evolve]                             # evolve.toml holds the same without "tool.evolve"
database_url = "env:DATABASE_URL"
alembic_config = "backend/alembic.ini"
alembic_section = "tenant"                # as alembic --name takes it

[tool.evolve.lint]
fail_on = "warning"
ignore = ["EV701"]

[tool.evolve.partition.orders]
method = "range"
key = "created_at"                        # what else a table may say is the partitioner's to know
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from evolve.errors import Misuse
from evolve.lint.thresholds import Thresholds
from evolve.values import dataclass

FailOn = Literal["error", "warning", "info"]
Required = Literal["BACKWARD", "FORWARD", "FULL"]

_VARIABLE = "env:"


class UnknownKey(Misuse):
    def __init__(self, file: Path, key: str, valid: Iterable[str]) -> None:
        names = sorted(valid)
        section, _, last = key.rpartition(".")
        near = difflib.get_close_matches(last, names, n=1, cutoff=0.5)
        nearest = f"{section}.{near[0]}" if near and section else "".join(near)
        fix = f'did you mean "{nearest}"?' if near else f"valid here: {', '.join(names)}"
        if key == "tool":
            fix = f"write [lint], not [tool.evolve.lint], in {file.name}"
        super().__init__(
            f'{file}: "{key}" is not a setting',
            why="a setting that is misspelt would be silently without effect",
            fix=fix,
        )


class BadValue(Misuse):
    def __init__(self, file: Path, key: str, value: object, expected: str) -> None:
        super().__init__(
            f'{file}: "{key}" is {_show(value)}, but must be {expected}', fix=f"correct {key} in {file}"
        )


class BrokenToml(Misuse):
    """The file is not TOML. `line` counts from 1; None where the parser does not know."""

    def __init__(self, file: Path, reason: str, line: int | None) -> None:
        place = f"{file}:{line}" if line else str(file)
        super().__init__(f"{place}: {reason}", fix="correct the TOML there")
        self.line = line


class NoConfigFile(Misuse):
    def __init__(self, file: Path, reason: str, fix: str = "check the path after --config") -> None:
        super().__init__(f'the configuration "{file}" cannot be read: {reason}', fix=fix)


class TwoConfigurations(Misuse):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f'"{folder}" has both an evolve.toml and a [tool.evolve] in its pyproject.toml',
            why="one of them would be silently without effect",
            fix="move the settings into one file, or name one: --config evolve.toml",
        )


class MissingVariable(Misuse):
    def __init__(self, file: Path, key: str, variable: str) -> None:
        super().__init__(
            f'{file}: "{key}" takes its value from the environment variable {variable}, which is not set',
            fix=f"export {variable}=…, or give --database-url",
        )


@dataclass(frozen=True, slots=True)
class Lint:
    """
    Args:
        fail_on: the least severe finding that makes the exit status 1.
        ignore: ids or names of rules.
        enable: what is opt-in and asked all the same: ids, names, families such as "7xx", or "all".
        required_columns: what the rule required-column-missing asks every new table for.
        import_ignores: other tools whose ignore lists hold here too, such as "squawk".
        exclude: globs over revision files, relative to the script directory, or revision ids.
        postgres_version: the oldest major version that the revisions will meet.
        time_limit: seconds that reading one revision may take.
        facts: what `evolve facts export` wrote, relative paths starting at the configuration file's folder.
        sizes: where a small table ends and a hot one begins in those facts.
        require: the level of compatibility that every rollout must have; None requires none.
        window: how many of the last revisions every release among them must survive; 0 looks at the rollout alone.
        models: files, folders, globs or packages that hold the mapped classes; those that env.py imports unless given.
    """

    fail_on: FailOn = "error"
    ignore: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    required_columns: tuple[str, ...] = ("id",)
    import_ignores: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    postgres_version: int = 15
    time_limit: float = 10.0
    facts: Path | None = None
    sizes: Thresholds = field(default_factory=Thresholds)
    require: Required | None = None
    window: int = 0
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    Args:
        lock_timeout: milliseconds a statement may wait for a lock; others queue behind it all that time.
        concurrently_lock_timeout: the same with CONCURRENTLY, which nobody queues behind; 0 is none.
        statement_timeout: milliseconds; 0 is none.
        max_retries: attempts after the first, for each revision.
        retry_budget: seconds that all waiting between attempts may take together.
        runner_wait: seconds to wait for another runner.
    """

    lock_timeout: int = 500
    concurrently_lock_timeout: int = 0
    statement_timeout: int = 0
    max_retries: int = 20
    retry_budget: float = 300.0
    runner_wait: float = 600.0


@dataclass(frozen=True, slots=True)
class Backfill:
    """
    Args:
        batch_ms: milliseconds one batch should take; the batch size follows it.
        batch_size: rows of the first batch.
        max_batch_size: rows.
    """

    batch_ms: int = 20
    batch_size: int = 1_000
    max_batch_size: int = 50_000


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """
    Args:
        method: name of a partitioner: range, list, hash, or a plugin's.
        options: handed to the partitioner as they are; it knows which it takes.
    """

    method: str
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Config:
    """
    Args:
        file: where the settings come from; None where there is no file and all are defaults.
        database_url: as written; `resolved_database_url` looks up "env:NAME".
        alembic_config: path of alembic.ini, relative paths starting at the configuration file's folder.
        alembic_section: of alembic.ini, as `alembic --name` takes it.
        partition: table → how it is partitioned.
    """

    file: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    alembic_config: Path | None = None
    alembic_section: str = "alembic"
    lint: Lint = Lint()
    upgrade: Upgrade = Upgrade()
    backfill: Backfill = Backfill()
    partition: Mapping[str, PartitionedTable] = field(default_factory=lambda: MappingProxyType({}))

    def resolved_database_url(self) -> str | None:
        """The database URL, "env:NAME" replaced by the variable's value.

        Raises:
            MissingVariable: the variable is not set, or empty.
        """
        if self.database_url is None or not self.database_url.startswith(_VARIABLE):
            return self.database_url
        variable = self.database_url.removeprefix(_VARIABLE)
        value = os.environ.get(variable)
        if not value:
            raise MissingVariable(self.file or Path(), "database_url", variable)
        return value


def load(directory: Path, file: Path | None = None) -> Config:
    """Read the settings of the project in `directory`.

    Args:
        file: read this one; None takes the nearest evolve.toml, or pyproject.toml with a [tool.evolve], from
            `directory` upward, and the defaults where there is none.

    Raises:
        UnknownKey, BadValue, BrokenToml, NoConfigFile, TwoConfigurations.
    """
    if file is not None:
        table = _settings(file)
        return Config(file=file) if table is None else _config(file, table)
    for folder in (directory.resolve(), *directory.resolve().parents):
        found = [
            (path, table)
            for path in (folder / "evolve.toml", folder / "pyproject.toml")
            if path.is_file() and (table := _settings(path)) is not None
        ]
        if len(found) > 1:
            raise TwoConfigurations(folder)
        for path, table in found:
            return _config(path, table)
    return Config()


def _settings(file: Path) -> dict[str, object] | None:
    """The table of settings in `file`; None where it is a pyproject.toml without one."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise NoConfigFile(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise NoConfigFile(file, "it is not UTF-8", fix="save it as UTF-8") from error
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        reason = str(error)[: place.start()] if place else str(error)
        raise BrokenToml(file, reason, int(place[1]) if place else None) from error
    if file.name != "pyproject.toml":
        return document
    tool = document.get("tool")
    if not isinstance(tool, dict) or "evolve" not in tool:
        return None
    return _Table.of(file, "tool.evolve", tool["evolve"]).values


def _config(file: Path, values: dict[str, object]) -> Config:
    top = _Table(file, "", values)
    top.allow(named.name for named in fields(Config) if named.name != "file")
    alembic_config = top.text("alembic_config", None)
    return Config(
        file=file,
        database_url=top.text("database_url", None),
        alembic_config=file.parent / alembic_config if alembic_config else None,
        alembic_section=top.text("alembic_section", None) or "alembic",
        lint=_lint(top.table("lint")),
        upgrade=_upgrade(top.table("upgrade")),
        backfill=_backfill(top.table("backfill")),
        partition=_partition(top.table("partition")),
    )


def _lint(table: _Table) -> Lint:
    table.allow(named.name for named in fields(Lint))
    facts = table.text("facts", None)
    default = Lint()
    return Lint(
        fail_on=table.fail_on("fail_on", default.fail_on),
        ignore=table.texts("ignore"),
        enable=table.texts("enable"),
        required_columns=table.texts("required_columns") or default.required_columns,
        import_ignores=table.texts("import_ignores"),
        exclude=table.texts("exclude"),
        postgres_version=table.whole("postgres_version", default.postgres_version, least=14, most=18),
        time_limit=table.seconds("time_limit", default.time_limit),
        facts=table.file.parent / facts if facts else None,
        sizes=_sizes(table.table("sizes")),
        require=table.required("require"),
        window=table.whole("window", default.window),
        models=table.texts("models"),
    )


def _sizes(table: _Table) -> Thresholds:
    names = [named.name for named in fields(Thresholds)]
    table.allow(names)
    default = Thresholds()
    # Speeds divide; none is 0.
    return Thresholds(
        **{
            name: table.whole(name, getattr(default, name), least=1 if name.endswith("mb_s") else 0)
            for name in names
        }
    )


def _upgrade(table: _Table) -> Upgrade:
    table.allow(named.name for named in fields(Upgrade))
    default = Upgrade()
    return Upgrade(
        # Never 0: without a limit, one waiting statement stops every query on its table.
        lock_timeout=table.whole("lock_timeout", default.lock_timeout, least=1),
        concurrently_lock_timeout=table.whole("concurrently_lock_timeout", default.concurrently_lock_timeout),
        statement_timeout=table.whole("statement_timeout", default.statement_timeout),
        max_retries=table.whole("max_retries", default.max_retries),
        retry_budget=table.seconds("retry_budget", default.retry_budget),
        runner_wait=table.seconds("runner_wait", default.runner_wait),
    )


def _backfill(table: _Table) -> Backfill:
    table.allow(named.name for named in fields(Backfill))
    default = Backfill()
    read = Backfill(
        batch_ms=table.whole("batch_ms", default.batch_ms, least=1),
        batch_size=table.whole("batch_size", default.batch_size, least=1),
        max_batch_size=table.whole("max_batch_size", default.max_batch_size, least=1),
    )
    if read.batch_size > read.max_batch_size:
        raise table.bad("batch_size", f"at most max_batch_size, {read.max_batch_size}", read.batch_size)
    return read


def _partition(tables: _Table) -> Mapping[str, PartitionedTable]:
    found: dict[str, PartitionedTable] = {}
    for name in tables.values:
        table = tables.table(name)
        method = table.text("method", None)
        if not method:
            raise table.bad("method", "the name of a partitioner, such as range, list or hash", None)
        options = {key: value for key, value in table.values.items() if key != "method"}
        found[name] = PartitionedTable(method, MappingProxyType(options))
    return MappingProxyType(found)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the file, with its dotted name for messages."""

    file: Path
    name: str
    values: dict[str, object]

    @staticmethod
    def of(file: Path, name: str, value: object) -> _Table:
        if not isinstance(value, dict):
            raise BadValue(file, name, value, "a table")
        return _Table(file, name, value)

    def allow(self, valid: Iterable[str]) -> None:
        names = list(valid)
        for key in self.values:
            if key not in names:
                raise UnknownKey(self.file, self._full(key), names)

    def table(self, key: str) -> _Table:
        return _Table.of(self.file, self._full(key), self.values.get(key, {}))

    def text(self, key: str, default: str | None) -> str | None:
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, str):
            raise self.bad(key, "a text", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.bad(key, "a list of texts", value)
        return tuple(value)

    def fail_on(self, key: str, default: FailOn) -> FailOn:
        value = self.values.get(key, default)
        for choice in get_args(FailOn):
            if value == choice:
                found: FailOn = choice
                return found
        raise self.bad(key, f"one of {', '.join(get_args(FailOn))}", value)

    def required(self, key: str) -> Required | None:
        value = self.values.get(key)
        for choice in get_args(Required):
            if value == choice:
                found: Required = choice
                return found
        if value is None:
            return None
        raise self.bad(key, f"one of {', '.join(get_args(Required))}", value)

    def whole(self, key: str, default: int, least: int = 0, most: int | None = None) -> int:
        value = self.values.get(key, default)
        # TOML's booleans are Python's, and those count as whole numbers.
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= (most or value):
            return value
        bounds = f"from {least} to {most}" if most else f"of at least {least}"
        raise self.bad(key, f"a whole number {bounds}", value)

    def seconds(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
            return float(value)
        raise self.bad(key, "a number of seconds", value)

    def bad(self, key: str, expected: str, value: object) -> BadValue:
        return BadValue(self.file, self._full(key), value, expected)

    def _full(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def _show(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    return f'"{value}"' if isinstance(value, str) else str(value)
