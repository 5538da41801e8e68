"""From the entry points `evolve.plugins` of installed distributions to checked `Plugin` values."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions, entry_points

from evolve.errors import Misuse
from evolve.plugin_api import API, NamedThrottle, Partitioner, Plugin, Rule
from evolve.values import dataclass

GROUP = "evolve.plugins"

_OURS = re.compile(r"EV\d")  # ids of the built-in rules


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from.

    Args:
        target: "module:attribute" of the entry point.
    """

    distribution: str
    version: str
    target: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    plugin: Plugin
    origin: Origin


class PluginFailed(Misuse):
    """The plugin's module could not be imported, or has no such attribute."""

    def __init__(self, entry: str, origin: Origin, error: BaseException) -> None:
        super().__init__(
            f'the plugin "{entry}" of {origin} could not be loaded: {type(error).__name__}: {error}',
            why="a plugin that is left out in silence would let revisions and tables go unchecked",
            fix=f"mend {origin.target.partition(':')[0]}, or uninstall it: pip uninstall {origin.distribution}",
        )


class UnreadableEntryPoints(Misuse):
    def __init__(self, distribution: str, error: Exception) -> None:
        super().__init__(
            f"the entry points of {distribution} cannot be read: {type(error).__name__}: {error}",
            why="which plugins are installed cannot be told",
            fix=f"install it anew: pip install --force-reinstall {distribution}",
        )


class NotAPlugin(Misuse):
    """The object it names is not what a plugin has to be."""

    def __init__(self, entry: str, origin: Origin, found: str) -> None:
        super().__init__(
            f'the plugin "{entry}" of {origin} is not right: {found}',
            fix=f"{origin.target} must be an evolve.plugin_api.Plugin; see evolve/docs/guides/plugins.md",
        )


class WrongApi(Misuse):
    def __init__(self, origin: Origin, plugin: str, api: object) -> None:
        super().__init__(
            f'the plugin "{plugin}" of {origin} is written for plugin API {api!r}, and this is API {API}',
            fix=f"install a version of {origin.distribution} for API {API}",
        )


class DuplicateInPlugins(Misuse):
    """Two plugins give the same name to something."""

    def __init__(self, what: str, name: str, one: Origin, other: Origin) -> None:
        super().__init__(
            f'{what} "{name}" comes from both {one} and {other}',
            why="which of the two is meant would depend on the order of installation",
            fix=f"uninstall one: pip uninstall {one.distribution}, or pip uninstall {other.distribution}",
        )


def load_plugins() -> tuple[LoadedPlugin, ...]:
    """Load and check every installed plugin, sorted by name.

    Raises:
        PluginFailed, NotAPlugin, WrongApi, DuplicateInPlugins: exit status 2; none is skipped.
    """
    # stdout is for results, not for what a module prints while it is imported.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = [_load(entry) for entry in sorted(_entries(), key=lambda e: (e.name, e.value))]
    _refuse_duplicates(loaded)
    return tuple(sorted(loaded, key=lambda item: item.plugin.name))


def partitioners(plugins: tuple[LoadedPlugin, ...]) -> dict[str, type[Partitioner]]:
    """What `--method` may name."""
    return {kind.kind: kind for item in plugins for kind in item.plugin.partitioners}


def _entries() -> EntryPoints:
    try:
        return entry_points(group=GROUP)
    except Exception:
        # One broken entry_points.txt hides those of all; find out whose it is.
        for distribution in distributions():
            try:
                distribution.entry_points  # noqa: B018  # reading it is what fails
            except Exception as error:
                raise UnreadableEntryPoints(_name(distribution), error) from error
        raise


def _name(distribution: Distribution | None) -> str:
    # Without a METADATA file it has no name, whatever its type says.
    name: str | None = distribution.name if distribution else None
    return name or "an unknown distribution"


def _load(entry: EntryPoint) -> LoadedPlugin:
    dist = entry.dist
    origin = Origin(_name(dist), (dist.version or "") if dist else "", entry.value)
    try:
        found: object = entry.load()
    except (
        Exception,
        SystemExit,
    ) as error:  # importing somebody's module can raise anything; all is reported
        raise PluginFailed(entry.name, origin, error) from error
    if not isinstance(found, Plugin):
        raise NotAPlugin(entry.name, origin, f"{origin.target} is of type {type(found).__name__}")
    if found.api != API:
        raise WrongApi(origin, found.name, found.api)
    for flaw in _flaws(found):
        raise NotAPlugin(entry.name, origin, flaw)
    return LoadedPlugin(found, origin)


def _flaws(plugin: Plugin) -> Iterator[str]:
    """What is wrong with the parts; a plugin is foreign code, so its types are looked at and not believed."""
    name: object = plugin.name
    if not isinstance(name, str) or not name:
        yield f"its name is {name!r}"
    for part in ("partitioners", "rules", "throttles"):
        if not isinstance(getattr(plugin, part), (list, tuple)):
            yield f'its "{part}" must be a list or a tuple'
            return
    for kind in _items(plugin.partitioners):
        if not (isinstance(kind, type) and issubclass(kind, Partitioner)):
            yield f"its partitioner {kind!r} is not a subclass of Partitioner"
        elif getattr(kind, "__abstractmethods__", None):
            missing = ", ".join(sorted(kind.__abstractmethods__))
            yield f"its partitioner {kind.__name__} does not define {missing}"
        elif not isinstance(getattr(kind, "kind", None), str):
            yield f'its partitioner {kind.__name__} has no "kind"'
        elif getattr(kind, "method", None) not in ("range", "list", "hash"):
            yield f'the "method" of its partitioner {kind.__name__} must be "range", "list" or "hash"'
    for rule in _items(plugin.rules):
        if not (isinstance(rule, type) and issubclass(rule, Rule)):
            yield f"its rule {rule!r} is not a subclass of Rule"
        elif any(not hasattr(rule, part) for part in ("id", "name", "severity", "why")):
            yield f"its rule {rule.__name__} lacks one of id, name, severity, why"
        elif _OURS.match(rule.id):
            yield f'the id "{rule.id}" of its rule {rule.__name__} belongs to evolve'
    for throttle in _items(plugin.throttles):
        if not isinstance(throttle, NamedThrottle):
            yield f"its throttle {throttle!r} is not a NamedThrottle"


def _items(parts: object) -> list[object]:
    return list(parts) if isinstance(parts, (list, tuple)) else []


def _refuse_duplicates(loaded: list[LoadedPlugin]) -> None:
    seen: dict[tuple[str, str], Origin] = {}
    for item in loaded:
        for what, name in _names(item.plugin):
            if (what, name) in seen:
                raise DuplicateInPlugins(what, name, seen[what, name], item.origin)
            seen[what, name] = item.origin


def _names(plugin: Plugin) -> Iterator[tuple[str, str]]:
    yield "the plugin", plugin.name
    for kind in plugin.partitioners:
        yield "the partitioning method", kind.kind
    for rule in plugin.rules:
        yield "the rule id", rule.id
        yield "the rule name", rule.name
    for throttle in plugin.throttles:
        yield "the throttle", throttle.name
