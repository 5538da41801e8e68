"""Where an Alembic project keeps its revisions, and how its `env.py` runs them; found without importing either."""

from __future__ import annotations

import configparser
import os
import re
import sys
from dataclasses import field
from importlib.machinery import PathFinder
from pathlib import Path

from evolve.errors import Misuse
from evolve.revisions.environment import Environment, read_environment
from evolve.values import dataclass

DEFAULT_FILE_TEMPLATE = "%(rev)s_%(slug)s"

_SEPARATORS = {"space": " ", "newline": "\n", "os": os.pathsep, ":": ":", ";": ";"}
_NAMES_LOCATION = re.compile(r"^script_location\s*[=:]", re.MULTILINE)
_SKIPPED = frozenset({"node_modules", "site-packages", "venv", "env", "build", "dist"})
_OF_LOGGING = re.compile(r"(?:loggers|handlers|formatters)$|(?:logger|handler|formatter)_")
_DEEPEST = 6  # folders below the project, in which its revisions may lie
_MOST_NAMED = 5  # directories in one message
_MOST_FOLDERS = 2000  # of one depth; where there are more, this is no project but a disk


class NoProject(Misuse):
    """`elsewhere` are directories that hold a project; `scripts` hold an env.py that no configuration names."""

    def __init__(
        self, looked_at: tuple[Path, ...], elsewhere: tuple[Path, ...] = (), scripts: tuple[Path, ...] = ()
    ) -> None:
        places = " and ".join(f'"{path}"' for path in looked_at)
        if elsewhere:
            directory = "the directory" if len(elsewhere) == 1 else "one of the directories"
            shown = ", ".join(f"evolve -C {path}" for path in elsewhere[:_MOST_NAMED])
            more = f" and {len(elsewhere) - _MOST_NAMED} more" if len(elsewhere) > _MOST_NAMED else ""
            fix = f"name {directory}: {shown}{more}"
        elif scripts:
            fix = f"name the directory of env.py in an alembic.ini here: {_as_option(looked_at[0], scripts)}"
        else:
            fix = "start one with `alembic init migrations`, or name its directory: evolve -C DIR"
        super().__init__(
            f"there is no Alembic project here: looked for {places}",
            why="revisions are found through alembic.ini, or through [tool.alembic] in pyproject.toml",
            fix=fix,
        )


class NoConfiguration(Misuse):
    def __init__(self, file: Path) -> None:
        super().__init__(
            f'there is no file "{file}"', fix="name the alembic.ini or pyproject.toml of the project"
        )


class BrokenConfiguration(Misuse):
    def __init__(self, file: Path, reason: str, line: int | None = None) -> None:
        place = f"{file}:{line}" if line else f"{file}"
        super().__init__(
            f'"{place}" cannot be read: {reason}', fix=f"mend {place}; `alembic heads` must work too"
        )


class NoScriptLocation(Misuse):
    """`others` are sections that have one; `scripts` are directories with an env.py that it may mean."""

    def __init__(
        self, file: Path, section: str, others: tuple[str, ...] = (), scripts: tuple[Path, ...] = ()
    ) -> None:
        fix = f"add it to [{section}]: {_as_option(file, scripts)}"
        if others:
            fix = (
                f"name the section that has one ({', '.join(others)}): `evolve lint -n {others[0]}`, "
                f'or alembic_section = "{others[0]}" in [tool.evolve]'
            )
        super().__init__(
            f'[{section}] of "{file}" has no script_location',
            why=None if others else "what a program sets while it runs is not seen",
            fix=fix,
        )


class NoScriptDirectory(Misuse):
    def __init__(self, location: str, tried: tuple[Path, ...], file: Path) -> None:
        places = (
            "no directory " + " nor ".join(f'"{path}"' for path in tried)
            if tried
            else "no such package or directory"
        )
        super().__init__(
            f'script_location "{location}" leads nowhere: there is {places}',
            fix=f"correct script_location in {file}, or start the directory with `alembic init {location}`",
        )


class NotADirectory(Misuse):
    def __init__(self, path: Path, file: Path) -> None:
        super().__init__(
            f'"{path}" is not a directory, but revisions should lie in it',
            why="taken for empty, the project would seem to have no revisions",
            fix=f"put the directory back, or correct version_locations in {file}",
        )


def _as_option(configuration: Path, scripts: tuple[Path, ...]) -> str:
    places = [os.path.relpath(path, configuration.parent) for path in scripts] or ["migrations"]
    return " or ".join(f"`script_location = {place}`" for place in places[:_MOST_NAMED])


@dataclass(frozen=True, slots=True)
class Project:
    """One Alembic project.

    Args:
        root: the directory that Alembic is run in; relative names in the configuration start there.
        configuration: alembic.ini or pyproject.toml, whichever names the script directory.
        version_directories: those that exist, in the order of the configuration; revisions lie in them.
        recursive: whether their subdirectories count.
        source_paths: `prepend_sys_path`: where revisions may import the application from.
        database_url: `sqlalchemy.url` as SQLAlchemy reads it, password and all; None where only `env.py` knows it.
        environment: how `env.py` configures Alembic.
        other_sections: of alembic.ini that name a script directory as well, for `alembic --name`.
        branches: labels of the branch that adds and of the one that takes away, where the settings of evolve name
            them.
        databases: names of those that `env.py` runs each revision on, as alembic.ini lists them for Alembic's template
            for several; empty for one, and where only the application knows them.
    """

    root: Path
    configuration: Path
    script_directory: Path
    version_directories: tuple[Path, ...]
    environment: Environment = field(default_factory=Environment)
    recursive: bool = False
    source_paths: tuple[Path, ...] = ()
    file_template: str = DEFAULT_FILE_TEMPLATE
    section: str = "alembic"
    database_url: str | None = field(default=None, repr=False)
    other_sections: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    branches: tuple[str, str] | None = None

    @property
    def transaction_per_migration(self) -> bool:
        return self.environment.transaction_per_migration

    @property
    def include_schemas(self) -> bool:
        return self.environment.include_schemas

    @property
    def version_table(self) -> str:
        return self.environment.version_table

    @property
    def version_table_schema(self) -> str | None:
        return self.environment.version_table_schema


def find_project(
    directory: Path,
    *,
    configuration: Path | None = None,
    section: str = "alembic",
    branches: tuple[str, str] | None = None,
) -> Project:
    """Find the project that Alembic would find when run in `directory`, or Flask-Migrate, which runs Alembic.

    Flask-Migrate keeps alembic.ini beside env.py, in a folder of the project, and tells Alembic that folder itself.

    Args:
        configuration: an alembic.ini or pyproject.toml to use, relative to `directory`, instead of looking for one.
        section: of alembic.ini, as `alembic --name` takes it.
        branches: as `Project.branches`.

    Raises:
        NoProject: neither file is there, or neither speaks of Alembic.
        NoConfiguration: the file named by `configuration` is not there.
        BrokenConfiguration: a file cannot be read; NoScriptLocation, NoScriptDirectory,
            NotADirectory: it leads nowhere.
    """
    directory = directory.absolute()
    ini, toml = _files(directory, configuration)
    options = _Options(directory, section, ini, toml)
    location = options.text("script_location")
    others = options.sections_with("script_location")
    root = directory
    source_paths = tuple(
        options.existing(path) or directory / path
        for path in options.paths("prepend_sys_path", legacy=r", *|(?: +)|\:", separators=("path_separator",))
    )
    if location is None:
        if others or ini is None or not _is_flask_migrates(ini):
            raise NoScriptLocation(options.file, section, others, _script_directories(directory))
        location = str(ini.parent)
        root = directory.parent if directory == ini.parent else directory
        source_paths = (root, *source_paths)
    elif ini is not None and options.existing(location) is None:
        above = _runs_alembic_from(ini, location)
        if above is not None:
            location, root = str(ini.parent), above
            source_paths = (root, *source_paths)
    script_directory = options.directory(location, source_paths)
    listed = options.paths(
        "version_locations", legacy=r", *|(?: +)", separators=("path_separator", "version_path_separator")
    )
    versions = [options.directory(path, source_paths) for path in listed] if listed else []
    versions = versions or [script_directory / "versions"]
    for path in versions:
        if path.exists() and not path.is_dir():
            raise NotADirectory(path, options.file)
    return Project(
        root=root,
        configuration=options.file,
        script_directory=script_directory,
        version_directories=tuple(dict.fromkeys(path for path in versions if path.is_dir())),
        environment=read_environment(script_directory / "env.py", options.plain()),
        recursive=options.flag("recursive_version_locations"),
        source_paths=source_paths,
        file_template=options.text("file_template") or DEFAULT_FILE_TEMPLATE,
        section=section,
        database_url=options.database_url(),
        other_sections=tuple(name for name in others if name != section),
        databases=tuple(re.findall(r"[^\s,]+", options.plain().get("databases", ""))),
        branches=branches,
    )


def _files(directory: Path, configuration: Path | None) -> tuple[Path | None, Path | None]:
    if configuration is not None:
        file = directory / configuration
        if not file.is_file():
            raise NoConfiguration(file)
        return (None, file) if file.suffix == ".toml" else (file, None)
    ini, toml = directory / "alembic.ini", directory / "pyproject.toml"
    found_ini = ini if ini.is_file() else None
    found_toml = toml if toml.is_file() and (found_ini or _toml_section(toml)) else None
    if not found_ini and not found_toml:
        below = _nearest_below(directory, "alembic.ini")
        if len(below) == 1 and (_is_flask_migrates(below[0]) or _is_meant_from(directory, below[0])):
            return below[0], None
        elsewhere = _around(directory) or [file.parent for file in below]
        raise NoProject((ini, toml), tuple(elsewhere), _script_directories(directory))
    return found_ini, found_toml


def _around(directory: Path) -> list[Path]:
    """The nearest directory above that has a project."""
    for above in directory.resolve().parents:
        if (above / "alembic.ini").is_file() or _is_flask_migrates(above / "migrations" / "alembic.ini"):
            return [above]
    return []


def _is_flask_migrates(ini: Path) -> bool:
    """Whether `ini` stands beside an env.py and names no script directory, so that it can mean only its own."""
    if not (ini.is_file() and (ini.parent / "env.py").is_file()):
        return False
    try:
        return _NAMES_LOCATION.search(ini.read_text(encoding="utf-8")) is None
    except (OSError, UnicodeDecodeError):
        return False


def _is_meant_from(directory: Path, ini: Path) -> bool:
    """Whether `alembic -c ini`, run in `directory`, finds `ini`'s own folder."""
    location = _Options(directory, "alembic", ini, None).text("script_location")
    return location is not None and _runs_alembic_from(ini, location) == directory


def _runs_alembic_from(ini: Path, location: str) -> Path | None:
    """The folder above `ini`, which stands beside its env.py, from where `location` leads to both."""
    if Path(location).is_absolute() or not (ini.parent / "env.py").is_file():
        return None
    above = list(ini.parent.parents)[:_DEEPEST]
    return next((path for path in above if Path(os.path.normpath(path / location)) == ini.parent), None)


def _script_directories(directory: Path) -> tuple[Path, ...]:
    """Those below that look like one: an env.py, and revisions beside it."""
    return tuple(
        file.parent for file in _nearest_below(directory, "env.py") if (file.parent / "versions").is_dir()
    )


def _nearest_below(directory: Path, name: str) -> list[Path]:
    """Files of that name in folders of `directory`, sorted; in those of one depth, the least that has any."""
    folders = [directory]
    for _ in range(_DEEPEST):
        folders = [
            below
            for folder in folders
            for below in _folders(folder)
            if not below.name.startswith(".") and below.name not in _SKIPPED
        ][:_MOST_FOLDERS]
        found = [folder / name for folder in folders if (folder / name).is_file()]
        if found:
            return found
    return []


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def _toml_section(file: Path) -> dict[str, object]:
    import tomllib

    try:
        with file.open("rb") as stream:
            document = tomllib.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenConfiguration(file, str(error)) from error
    tool = document.get("tool", {})
    section = tool.get("alembic", {}) if isinstance(tool, dict) else {}
    if not isinstance(section, dict):
        raise BrokenConfiguration(file, "[tool.alembic] is not a table")
    return section


class _Options:
    """The options of one project: alembic.ini first, then [tool.alembic], as Alembic asks them."""

    def __init__(self, directory: Path, section: str, ini: Path | None, toml: Path | None) -> None:
        self._directory = directory
        self._section = section
        self._ini = ini
        here = (ini.parent if ini is not None else directory).as_posix()
        self._parser = configparser.ConfigParser({"here": here.replace("%", "%%")})
        if ini is not None:
            self._read(ini)
        self._toml = _toml_section(toml) if toml is not None else {}
        self._tokens = {"here": (toml.parent if toml is not None else directory).as_posix()}
        in_ini = ini is not None and self._parser.has_option(section, "script_location")
        file = ini if in_ini or not self._toml else toml
        self.file: Path = file if file is not None else directory / "alembic.ini"

    def _read(self, ini: Path) -> None:
        try:
            with ini.open(encoding="utf-8") as stream:
                self._parser.read_file(stream, source=str(ini))
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenConfiguration(ini, str(error)) from error
        except configparser.MissingSectionHeaderError as error:
            raise BrokenConfiguration(
                ini, "a section such as [alembic] must come first", error.lineno
            ) from error
        except configparser.ParsingError as error:
            line, text = error.errors[0]
            raise BrokenConfiguration(ini, f"this is no option: {text}", line) from error
        except configparser.Error as error:
            # Duplicates know their line; other causes name it in their text.
            at: int | None = getattr(error, "lineno", None)
            raise BrokenConfiguration(ini, " ".join(str(error).split()), at) from error

    def text(self, name: str) -> str | None:
        if self._parser.has_option(self._section, name):
            try:
                return self._parser.get(self._section, name)
            except configparser.InterpolationError as error:
                reason = f'option "{name}": {" ".join(str(error).split())}'
                raise BrokenConfiguration(self.file, reason) from error
        value = self._toml.get(name)
        if value is None or isinstance(value, str):
            return self._filled(name, value) if value is not None else None
        raise BrokenConfiguration(self.file, f'option "{name}" is not text')

    def _filled(self, name: str, value: str) -> str:
        try:
            return value % self._tokens
        except (KeyError, ValueError, TypeError) as error:
            raise BrokenConfiguration(
                self.file, f'option "{name}": {value!r} holds an unknown % token'
            ) from error

    def flag(self, name: str) -> bool:
        if self._parser.has_option(self._section, name):
            return self.text(name) == "true"
        value = self._toml.get(name, False)
        if not isinstance(value, bool):
            raise BrokenConfiguration(self.file, f'option "{name}" is neither true nor false')
        return value

    def paths(self, name: str, *, legacy: str, separators: tuple[str, ...]) -> list[str]:
        """Several paths in one option; without a separator option Alembic splits them by the `legacy` expression."""
        if not self._parser.has_option(self._section, name) or not self.text(name):
            value = self._toml.get(name, [])
            if isinstance(value, str):
                value = [value]
            if not isinstance(value, list):
                raise BrokenConfiguration(self.file, f'option "{name}" is not a list of paths')
            return [self._filled(name, str(part)) for part in value]
        text = self.text(name) or ""
        named = next((found for option in separators if (found := self.text(option)) is not None), None)
        if named is None:
            parts = re.split(legacy, text)
        elif named in _SEPARATORS:
            parts = text.split(_SEPARATORS[named])
        else:
            known = ", ".join(_SEPARATORS)
            raise BrokenConfiguration(self.file, f'path_separator "{named}" is none of {known}')
        return [part.strip() for part in parts if part.strip()]

    def plain(self) -> dict[str, str]:
        """The section's options as they read without failing; what cannot be interpolated is left out."""
        values = {name: value for name, value in self._toml.items() if isinstance(value, str)}
        if self._parser.has_section(self._section):
            for name in self._parser.options(self._section):
                try:
                    values[name] = self._parser.get(self._section, name)
                except configparser.InterpolationError:
                    continue
        return values

    def sections_with(self, name: str) -> tuple[str, ...]:
        """Sections of Alembic that have the option; one in [DEFAULT] those of the loggers have as well."""
        return tuple(
            section
            for section in self._parser.sections()
            if self._parser.has_option(section, name) and not _OF_LOGGING.match(section)
        )

    def database_url(self) -> str | None:
        """`sqlalchemy.url`, unless it is a placeholder that `env.py` is to replace."""
        url = self.plain().get("sqlalchemy.url", "").strip()
        scheme, separator, rest = url.partition("://")
        dialect = scheme.partition("+")[0]
        if not separator or dialect not in ("postgresql", "postgres") or re.search(r"\$\{|\{\{", rest):
            return None
        return url

    def existing(self, location: str) -> Path | None:
        return next((path for path in self._candidates(location) if path.is_dir()), None)

    def _candidates(self, location: str) -> tuple[Path, ...]:
        # Alembic starts from the working directory; a configuration named from afar usually means its own directory.
        path = Path(location)
        starts = dict.fromkeys((self._directory, self.file.parent))
        return tuple(Path(os.path.normpath(start / path)) for start in starts)

    def directory(self, location: str, source_paths: tuple[Path, ...]) -> Path:
        """A directory given as a path, or as `package:path`, which is found but never imported."""
        if ":" in location and not Path(location).is_absolute():
            package, *inside = location.split(":")
            # The package need not be installed here: its source lies beside the configuration, around it, or in src.
            searched = [*source_paths, self._directory, self._directory / "src", *self.file.parents]
            for base in _package_directories(package, [*map(str, searched), *sys.path]):
                path = base.joinpath(*inside)
                if path.is_dir():
                    return path
            raise NoScriptDirectory(location, (), self.file)
        found = self.existing(location)
        if found is None:
            raise NoScriptDirectory(location, self._candidates(location), self.file)
        return found


def _package_directories(package: str, paths: list[str]) -> tuple[Path, ...]:
    for part in package.split("."):
        spec = PathFinder.find_spec(part, paths)
        if spec is None or spec.submodule_search_locations is None:
            return ()
        paths = list(spec.submodule_search_locations)
    return tuple(Path(path).absolute() for path in paths)
