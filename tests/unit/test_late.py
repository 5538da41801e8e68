"""Modules that wait for their first use are the same ones afterwards."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from evolve.late import late


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "waits"
    package.mkdir()
    (package / "__init__.py").write_text("import sys\nsys.loaded = True\nVALUE = 1\n")
    (package / "below.py").write_text("import sys\nwas_loaded = hasattr(sys, 'loaded')\n")
    (tmp_path / "called.py").write_text("import sys\nsys.loaded = True\ndef double(x): return 2 * x\n")
    (tmp_path / "fails.py").write_text("raise ValueError\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
    vars(sys).pop("loaded", None)


def _imported(name: str, *called: str) -> ModuleType:
    with late({name: called}):
        return importlib.import_module(name)


@pytest.mark.usefixtures("folder")
def test_an_import_loads_nothing() -> None:
    _imported("waits")

    assert not hasattr(sys, "loaded")


@pytest.mark.usefixtures("folder")
def test_importing_it_again_loads_nothing() -> None:
    _imported("waits")

    importlib.import_module("waits")

    assert not hasattr(sys, "loaded")


@pytest.mark.usefixtures("folder")
def test_its_first_use_loads_it() -> None:
    module = _imported("waits")

    assert module.VALUE == 1
    assert type(module) is ModuleType


@pytest.mark.usefixtures("folder")
def test_a_module_below_finds_it_loaded() -> None:
    _imported("waits")

    assert importlib.import_module("waits.below").was_loaded


@pytest.mark.usefixtures("folder")
def test_a_function_taken_out_of_it_loads_it_when_it_is_called() -> None:
    taken = _imported("called", "double").double
    before = hasattr(sys, "loaded")

    assert (before, taken(2)) == (False, 4)


@pytest.mark.usefixtures("folder")
def test_what_it_does_not_have_is_missing() -> None:
    module = _imported("waits", "gone")

    with pytest.raises(AttributeError):
        module.gone()


@pytest.mark.usefixtures("folder")
def test_what_fails_to_load_fails_where_it_is_used() -> None:
    module = _imported("fails")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"^$"):
            _ = module.anything


@pytest.mark.usefixtures("folder")
def test_what_is_set_stays_after_it_is_loaded() -> None:
    module = _imported("waits")

    module.__doc__ = "set"

    assert (module.VALUE, module.__doc__) == (1, "set")


@pytest.mark.usefixtures("folder")
def test_all_of_its_names_are_listed() -> None:
    assert "VALUE" in dir(_imported("waits"))
