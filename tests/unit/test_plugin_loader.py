"""Plugins come from entry points of installed distributions; what is wrong with one is an error that names it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from evolve.errors import Misuse
from evolve.plugin_loader import (
    DuplicateInPlugins,
    NotAPlugin,
    PluginFailed,
    WrongApi,
    load_plugins,
    partitioners,
)

Install = Callable[..., None]

GOOD = """
from dataclasses import dataclass
from evolve.plugin_api import *

@dataclass(frozen=True, slots=True)
class Weekly(Partitioner):
    column: str
    kind = "KIND"
    method = "range"
    @classmethod
    def parse(cls, options, table): return Problems((Problem("key", "no"),))
    @property
    def key(self): return (self.column,)
    def wanted(self, now, profile): return ()
    def name(self, table, bound): return table

plugin = Plugin("NAME", api=1, partitioners=[Weekly])
"""


def good(name: str, kind: str) -> str:
    return GOOD.replace("KIND", kind).replace("NAME", name)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution as pip would leave it: a module and a dist-info folder on sys.path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def write(
        distribution: str, module: str, code: str, *, entry: str | None = None, version: str = "2.1"
    ) -> None:
        (tmp_path / f"{module}.py").write_text(dedent(code))
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        line = entry or f"{module} = {module}:plugin"
        (info / "entry_points.txt").write_text(f"[evolve.plugins]\n{line}\n")
        modules.append(module)

    yield write
    for module in modules:
        sys.modules.pop(module, None)


def test_the_built_in_plugin_takes_the_same_road() -> None:
    loaded = {item.plugin.name: item.origin.distribution for item in load_plugins()}
    assert loaded["range"] == "alembic-evolve"


def test_an_installed_plugin_is_found(install: Install) -> None:
    install("acme-evolve", "acme_ok", good("acme", "weekly"))
    item = next(item for item in load_plugins() if item.plugin.name == "acme")
    assert (str(item.origin), item.origin.target) == ("acme-evolve 2.1", "acme_ok:plugin")


def test_plugins_are_sorted_by_name(install: Install) -> None:
    install("zz-evolve", "zz_ok", good("aa", "weekly"))
    names = [item.plugin.name for item in load_plugins()]
    assert names == sorted(names)
    assert names[0] == "aa"


def test_methods_of_all_plugins_are_offered(install: Install) -> None:
    install("acme-evolve", "acme_ok", good("acme", "weekly"))
    assert {"range", "weekly"} <= set(partitioners(load_plugins()))


def test_a_plugin_that_cannot_be_imported_is_an_error(install: Install) -> None:
    install("broken-evolve", "broken", "import no_such_module_anywhere")
    with pytest.raises(PluginFailed) as failure:
        load_plugins()
    assert "broken-evolve 2.1" in failure.value.what
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in failure.value.what
    assert failure.value.exit_code == 2
    assert isinstance(failure.value.__cause__, ImportError)


def test_a_plugin_that_raises_is_an_error(install: Install) -> None:
    install("raising-evolve", "raising", "raise RuntimeError('no licence')")
    with pytest.raises(PluginFailed, match="RuntimeError: no licence"):
        load_plugins()


def test_a_missing_attribute_is_an_error(install: Install) -> None:
    install("empty-evolve", "empty_plugin", "x = 1")
    with pytest.raises(PluginFailed, match="empty-evolve"):
        load_plugins()


def test_another_type_is_an_error(install: Install) -> None:
    install("dict-evolve", "dict_plugin", "plugin = {'name': 'dict'}")
    with pytest.raises(NotAPlugin, match="of type dict"):
        load_plugins()


def test_another_api_is_an_error(install: Install) -> None:
    install("new-evolve", "new_plugin", good("new", "weekly").replace("api=1", "api=7"))
    with pytest.raises(WrongApi, match="API 7, and this is API 1"):
        load_plugins()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("partitioners=[Weekly]", "partitioners=[Weekly('id')]"), "not a subclass of Partitioner"),
        (("partitioners=[Weekly]", "partitioners=Weekly"), "must be a list or a tuple"),
        (("    def name(self, table, bound): return table\n", ""), "does not define name"),
        (('    kind = "weekly"\n', ""), 'has no "kind"'),
        (('method = "range"', 'method = "tree"'), 'must be "range", "list" or "hash"'),
        (("partitioners=[Weekly]", "rules=[Weekly]"), "not a subclass of Rule"),
        (("partitioners=[Weekly]", "throttles=['slow']"), "not a NamedThrottle"),
        (('"acme"', "''"), "its name is ''"),
    ],
)
def test_wrong_parts_are_an_error(install: Install, change: tuple[str, str], said: str) -> None:
    code = good("acme", "weekly")
    assert change[0] in code
    install("acme-evolve", "acme_wrong", code.replace(*change))
    with pytest.raises(NotAPlugin, match=said):
        load_plugins()


def test_ids_of_built_in_rules_are_not_for_plugins(install: Install) -> None:
    rule = (
        "class Mine(Rule):\n    id = 'EV101'\n    name = 'x'\n    severity = Severity.ERROR\n    why = 'y'\n"
    )
    code = (
        good("acme", "weekly")
        .replace("plugin =", f"{rule}plugin =")
        .replace("[Weekly]", "[Weekly], rules=[Mine]")
    )
    install("acme-evolve", "acme_rule", code)
    with pytest.raises(NotAPlugin, match=r'"EV101".*belongs to evolve'):
        load_plugins()


def test_the_same_plugin_name_twice_names_both_distributions(install: Install) -> None:
    install("one-evolve", "one_plugin", good("same", "first"))
    install("two-evolve", "two_plugin", good("same", "second"))
    with pytest.raises(
        DuplicateInPlugins, match=r'the plugin "same" comes from both one-evolve 2.1 and two-evolve'
    ):
        load_plugins()


def test_the_same_method_twice_names_both_distributions(install: Install) -> None:
    install("acme-evolve", "acme_range", good("acme", "range"))
    with pytest.raises(DuplicateInPlugins) as failure:
        load_plugins()
    assert 'method "range"' in failure.value.what
    assert "acme-evolve" in failure.value.what
    assert "alembic-evolve" in failure.value.what


def test_every_failure_is_a_misuse() -> None:
    assert all(issubclass(kind, Misuse) for kind in (PluginFailed, NotAPlugin, WrongApi, DuplicateInPlugins))
