"""Writes the beginning of a third party's lint rule: the rule, its page, its test, and a plugin where there is none."""

from __future__ import annotations

import ast
import keyword
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from itertools import count
from pathlib import Path
from string import Template

from evolve import plugin_api
from evolve.errors import Misuse
from evolve.files import write_whole
from evolve.lint import lookup
from evolve.lint.rule import Rule
from evolve.values import dataclass

GROUP = "evolve.plugins"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ID = re.compile(r"[A-Z]{2,}\d{3,}")


class BadRuleName(Misuse):
    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f'"{name}" is no name for a {what}',
            fix="write it in small letters, digits and single hyphens: no-money-as-float",
        )


class BadRuleId(Misuse):
    def __init__(self, rule_id: str) -> None:
        super().__init__(
            f'"{rule_id}" is no id for a rule of a plugin',
            why="ids that begin with EV belong to evolve" if rule_id.startswith("EV") else "",
            fix="write two or more capitals and three or more digits: ACME102",
        )


class RuleIsThere(Misuse):
    def __init__(self, word: str) -> None:
        super().__init__(
            f'there is a rule "{word}" already',
            fix=f"choose another name; what that rule does: evolve explain {word}",
        )


class FileIsThere(Misuse):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f'"{path}" is there already', why="nothing was written", fix="choose another name, or move it"
        )


class NoPlugin(Misuse):
    def __init__(self, directory: Path) -> None:
        super().__init__(
            f'"{directory}" holds no plugin: no pyproject.toml with [project.entry-points."{GROUP}"]',
            why="a rule reaches evolve by a plugin, which is a distribution of its own",
            fix="begin one beside it: evolve rules new NAME --plugin acme, or name its folder: -C folder",
        )


class PluginUnclear(Misuse):
    def __init__(self, file: Path, what: str) -> None:
        super().__init__(
            f'"{file}": {what}',
            why="nothing was written",
            fix=f'name one plugin, whose value stands in a package beside it: [project.entry-points."{GROUP}"]\n'
            'acme = "acme_evolve:plugin"',
        )


@dataclass(frozen=True, slots=True)
class NewRule:
    """What is to be written.

    Args:
        files: text by path; those of them that are there already are changed in place.
        changed: which those are.
        by_hand: what cannot be written and has to be added; None where nothing.
        distribution: the folder to install.
    """

    id: str
    name: str
    files: Mapping[Path, str]
    changed: frozenset[Path]
    distribution: Path
    by_hand: str | None = None

    def write(self) -> None:
        """Each file whole. The plugin's own module comes last: until then nothing of the rule is in use."""
        for path, text in sorted(self.files.items(), key=lambda item: item[0] in self.changed):
            write_whole(path, text.encode())


def new_rule(
    directory: Path,
    name: str,
    rules: Collection[Rule],
    *,
    rule_id: str | None = None,
    plugin: str | None = None,
) -> NewRule:
    """Say what makes the rule `name`; nothing is written yet.

    Args:
        directory: of the plugin; of what will hold its folder where `plugin` begins one.
        name: kebab-case.
        rules: all that are installed.
        rule_id: the next free one of the plugin unless given.
        plugin: the name of a plugin to begin.

    Raises:
        BadRuleName, BadRuleId, RuleIsThere, FileIsThere, NoPlugin, PluginUnclear
    """
    if not _NAME.fullmatch(name):
        raise BadRuleName("rule", name)
    if rule_id is not None and (not _ID.fullmatch(rule_id) or rule_id.startswith("EV")):
        raise BadRuleId(rule_id)
    place = _begun(directory, plugin) if plugin is not None else _found(directory)
    own = tuple(_ids_in(place.package))
    taken = {*lookup.by_word(rules), *own}
    chosen = rule_id or _next_id(place.name, own, taken)
    for word in (name, chosen):
        if word in taken:
            raise RuleIsThere(word)
    words = {
        "id": chosen,
        "name": name,
        "module": name.replace("-", "_") + ("_" if keyword.iskeyword(name) else ""),
        "cls": _class_name(name),
        "plugin": place.name,
        "package": place.import_name,
    }
    files = {
        place.package / f"{words['module']}.py": _filled("rule.py", words),
        place.package / f"{words['module']}.md": _filled("rule.md", words),
    }
    tests = place.directory / "tests" / "test_rules.py"
    if not tests.exists():
        files[tests] = _filled("test_rules.py", words)
    listing = place.package / "__init__.py"
    if plugin is not None:
        files[place.directory / "pyproject.toml"] = _filled("pyproject.toml", words)
        files[listing] = _filled("plugin.py", words)
    for path in files:
        if path.exists():
            raise FileIsThere(path)
    if plugin is not None:
        return NewRule(chosen, name, files, frozenset(), place.directory)
    listed = _listed(listing.read_text(encoding="utf-8"), words)
    if listed is not None:
        return NewRule(chosen, name, {**files, listing: listed}, frozenset({listing}), place.directory)
    by_hand = (
        f"add to {listing}: from {place.import_name}.{words['module']} import {words['cls']}, "
        f"and to its Plugin(…): rules=[…, {words['cls']}]"
    )
    return NewRule(chosen, name, files, frozenset(), place.directory, by_hand)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a plugin stands.

    Args:
        name: of the plugin.
        directory: of the distribution.
        import_name: of the package that holds the `Plugin`.
        package: its folder.
    """

    name: str
    directory: Path
    import_name: str
    package: Path


def _begun(directory: Path, plugin: str) -> _Place:
    if not _NAME.fullmatch(plugin):
        raise BadRuleName("plugin", plugin)
    folder = directory / f"{plugin}-evolve"
    if folder.exists():
        raise FileIsThere(folder)
    package = f"{plugin.replace('-', '_')}_evolve"
    return _Place(plugin, folder, package, folder / "src" / package)


def _found(directory: Path) -> _Place:
    file = directory / "pyproject.toml"
    if not file.is_file():
        raise NoPlugin(directory)
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise PluginUnclear(file, f"it cannot be read: {error}") from error
    match project:
        case {"project": {"entry-points": {"evolve.plugins": dict(entries)}}} if entries:
            pass
        case _:
            raise NoPlugin(directory)
    if len(entries) > 1:
        raise PluginUnclear(file, f"it names {len(entries)} plugins: {', '.join(entries)}")
    ((name, target),) = entries.items()
    import_name = str(target).partition(":")[0]
    for root in (directory / "src", directory):
        package = root.joinpath(*import_name.split("."))
        if (package / "__init__.py").is_file():
            return _Place(name, directory, import_name, package)
    raise PluginUnclear(file, f'there is no package "{import_name}" in {directory} or its src')


def _ids_in(package: Path) -> Iterator[str]:
    """Ids of the rules that the package's modules define; they are read and not run."""
    for file in sorted(package.glob("**/*.py")) if package.is_dir() else ():
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name("id")], value=ast.Constant(str(value))):
                    yield value
                case ast.AnnAssign(target=ast.Name("id"), value=ast.Constant(str(value))):
                    yield value


def _next_id(plugin: str, own: Collection[str], taken: Collection[str]) -> str:
    """The first free one behind the plugin's last, or behind its name in capitals and 100."""
    letters = re.sub(r"[^A-Z]", "", plugin.upper())
    if len(letters) < 2 or letters.startswith("EV"):
        letters = f"X{letters}X"
    last = max((found for found in own if _ID.fullmatch(found)), default=f"{letters}100")
    letters = last.rstrip("0123456789")
    numbers = count(int(last.removeprefix(letters)) + 1)
    return next(chosen for number in numbers if (chosen := f"{letters}{number}") not in taken)


def _listed(source: str, words: Mapping[str, str]) -> str | None:
    """The plugin's module with the rule in it; None where no one `Plugin(…)` with a list of rules stands there."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    match [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        case [ast.Call(func=ast.Name("Plugin"), keywords=[*_, last] as keywords)]:
            pass
        case _:
            return None
    match next((word.value for word in keywords if word.arg == "rules"), None):
        case None:
            behind, text = last.value, f", rules=[{words['cls']}]"
        case ast.List(elts=[*_, behind]) | ast.Tuple(elts=[*_, behind]):
            text = f", {words['cls']}"
        case _:
            return None
    if not imports:
        return None
    written = _insert(source, behind, text)
    return _insert(written, imports[-1], f"\nfrom {words['package']}.{words['module']} import {words['cls']}")


def _insert(source: str, behind: ast.expr | ast.stmt, text: str) -> str:
    """`source` with `text` behind a node, whose columns are counted in bytes."""
    rows = source.encode().splitlines(keepends=True)
    row = (behind.end_lineno or behind.lineno) - 1
    column = behind.end_col_offset or 0
    rows[row] = rows[row][:column] + text.encode() + rows[row][column:]
    return b"".join(rows).decode()


def _class_name(name: str) -> str:
    found = "".join(part.capitalize() for part in name.split("-"))
    # What is written imports names of the interface.
    return f"{found}Rule" if found in plugin_api.__all__ or found == "Iterator" else found


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = resources.files("evolve.app.new_rule").joinpath(f"{template}.template").read_text(encoding="utf-8")
    return Template(text).substitute(words)
