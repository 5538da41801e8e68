"""The graph of revisions: read from source, named as Alembic names them, in the order in which Alembic runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.script.revision import Revision, RevisionMap
from hypothesis import given, settings
from hypothesis import strategies as st
from support.revision_files import Revisions

from evolve.revisions.history import (
    AmbiguousRevision,
    AmbiguousWalk,
    BrokenFile,
    BrokenRevision,
    Cycle,
    DuplicateLabel,
    DuplicateRevision,
    History,
    MissingRevision,
    MultipleHeads,
    NoStartingPoint,
    NoSuchRevision,
    NotAncestor,
    RevisionFile,
    WalkedTooFar,
    build_history,
    read_revision,
)


def _file(
    revision: str, *down: str, depends_on: tuple[str, ...] = (), labels: tuple[str, ...] = ()
) -> RevisionFile:
    return RevisionFile(revision, down, Path(f"/versions/{revision}.py"), depends_on, labels)


@pytest.fixture
def forked() -> History:
    """a1 ← b1 ← c1 (branch "left") and a1 ← b2 ← c2 (branch "right"), joined by nothing."""
    return build_history(
        [
            _file("a1aaaa"),
            _file("b1bbbb", "a1aaaa", labels=("left",)),
            _file("b2bbbb", "a1aaaa", labels=("right",)),
            _file("c1cccc", "b1bbbb"),
            _file("c2cccc", "b2bbbb"),
        ]
    )


# -- reading files --------------------------------------------------------------------------------------
def test_a_file_declares_its_place(revisions: Revisions) -> None:
    path = revisions.add(
        "abc1",
        after=("x", "y"),
        message="add users\n\nRevision ID: abc1",
        depends_on="z",
        branch_labels=("shop",),
        evolve={"change": "rename", "phase": "expand", "step": 2},
    )

    assert read_revision(path) == RevisionFile(
        "abc1",
        ("x", "y"),
        path,
        ("z",),
        ("shop",),
        "add users",
        (("change", "rename"), ("phase", "expand"), ("step", "2")),
    )


@pytest.mark.parametrize(
    "text",
    [
        "from typing import Union\nrevision: str = 'r'\ndown_revision: Union[str, None] = 'd'\n",
        "revision = rev = 'r'\ndown_revision = 'd'\n",
        "R = 'r'\nrevision = R\ndown_revision = ['d']\n",
        "def upgrade():\n    pass\nrevision = 'r'\ndown_revision = 'd'\n",
        '"""text with\ndef inside()\n"""\nrevision = "r"\ndown_revision = "d"\ndef upgrade():\n    pass\n',
        "# -*- coding: latin-1 -*-\nname = 'é'\nrevision = 'r'\ndown_revision = 'd'\n",
        "revision = 'no'\ndown_revision = None\nimport x\nrevision = 'r'\ndown_revision = 'd'\n",
        "revision, down_revision = 'r', 'd'\n",
        "(down_revision, depends_on), revision = ['d', None], 'r'\ndown_revision = 'd'\n",
    ],
)
def test_declarations_in_every_style(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.py"
    path.write_text(text, encoding="latin-1")

    found = read_revision(path)

    assert isinstance(found, RevisionFile)
    assert (found.revision, found.down_revisions) == ("r", ("d",))


def test_reading_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.py"
    path.write_text("raise SystemExit\nrevision = 'r'\ndown_revision = None\n")

    assert isinstance(read_revision(path), RevisionFile)


def test_a_module_that_revisions_share_is_no_revision(tmp_path: Path) -> None:
    path = tmp_path / "shared.py"
    path.write_text("def add_column(): ...\n")

    assert read_revision(path) is None


def test_an_id_may_stand_in_the_file_name_only(tmp_path: Path) -> None:
    path = tmp_path / "ae1027a6acf.py"
    path.write_text("down_revision = None\n")

    found = read_revision(path)

    assert isinstance(found, RevisionFile)
    assert found.revision == "ae1027a6acf"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("revision = make_id()\ndown_revision = None\n", 1, "revision is not written as a literal"),
        ("revision, down_revision = make_ids()\n", 1, "revision is not written as a literal"),
        ("revision = 'r'\ndown_revision = 5\n", 2, "neither an id"),
        ("\nrevision = 7\ndown_revision = None\n", 2, "revision is not text"),
        ("revision = 'r'\n", 1, "no down_revision"),
        ("x = (\n", 1, "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    path = tmp_path / "r_r.py"
    path.write_text(text)

    found = read_revision(path)

    assert isinstance(found, BrokenFile)
    assert found.line == line
    assert reason in found.reason


def test_a_broken_file_keeps_its_place_where_its_id_shows(tmp_path: Path) -> None:
    path = tmp_path / "r.py"
    path.write_text("revision = 'r'\ndown_revision = ('a', 'b')\nx = (\n")

    found = read_revision(path)

    assert isinstance(found, RevisionFile)
    assert (found.revision, found.down_revisions) == ("r", ("a", "b"))
    assert found.broken is not None


def test_only_python_files_of_the_directory_count(revisions: Revisions) -> None:
    revisions.add("a")
    for name in ("__init__.py", ".#lock.py", "b.pyc", "__pycache__/c.py", "nested/d.py", "notes.txt"):
        revisions.write(name, "revision = 'x'\ndown_revision = None\n")

    assert set(revisions.history.revisions) == {"a"}


def test_subdirectories_count_where_the_project_says_so(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "p", ini="recursive_version_locations = true\n")
    revisions.add("a")
    revisions.write("2024/b.py", "revision = 'b'\ndown_revision = 'a'\n")
    revisions.write("2024/__pycache__/c.py", "revision = 'c'\ndown_revision = 'b'\n")

    assert list(revisions.history.revisions) == ["a", "b"]


# -- contradictions -------------------------------------------------------------------------------------
def test_two_files_with_one_id(revisions: Revisions) -> None:
    first = revisions.add("a")
    second = revisions.write("b.py", first.read_text())

    with pytest.raises(DuplicateRevision) as caught:
        _ = revisions.history

    assert str(first) in caught.value.what
    assert str(second) in caught.value.what


def test_a_circle_is_shown() -> None:
    with pytest.raises(Cycle, match=r"b → a → b|a → b → a"):
        build_history([_file("first"), _file("a", "b"), _file("b", "a")])


def test_a_circle_through_depends_on() -> None:
    with pytest.raises(Cycle):
        build_history([_file("a", depends_on=("b",)), _file("b", depends_on=("a",))])


def test_a_missing_parent_is_named_with_the_nearest() -> None:
    with pytest.raises(MissingRevision) as caught:
        build_history([_file("abc123"), _file("def", "abc124")])

    assert '"abc124"' in caught.value.what
    assert "abc123" in (caught.value.fix or "")


def test_a_missing_parent_may_be_the_file_that_cannot_be_read(revisions: Revisions) -> None:
    revisions.write("a.py", "revision = (\n")
    revisions.add("b", after="a")

    with pytest.raises(BrokenRevision, match=r"a\.py:1"):
        _ = revisions.history


def test_one_bad_file_costs_one_file(revisions: Revisions) -> None:
    revisions.add("a")
    revisions.write("b.py", "revision = 'b'\ndown_revision = 'a'\ndef upgrade(:\n")
    revisions.add("c", after="b")

    assert [file.revision for file in revisions.history.between("base", "heads")] == ["a", "b", "c"]


def test_one_label_twice() -> None:
    with pytest.raises(DuplicateLabel, match="shop"):
        build_history([_file("a", labels=("shop",)), _file("b", labels=("shop",))])


# -- names ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("identifier", "ids"),
    [
        ("base", ()),
        ("heads", ("c1cccc", "c2cccc")),
        ("left@head", ("c1cccc",)),
        ("left@heads", ("c1cccc",)),
        ("b2bbbb@head", ("c2cccc",)),
        ("left@base", ()),
        ("left", ("b1bbbb",)),
        ("c1cccc", ("c1cccc",)),
        ("c1", ("c1cccc",)),
        ("right@c2", ("c2cccc",)),
        ("left@head-1", ("b1bbbb",)),
        ("c1cccc-2", ("a1aaaa",)),
        ("c1cccc-3", ()),
        ("base+1", ("a1aaaa",)),
        ("b2bbbb+1", ("c2cccc",)),
        ("left@a1aaaa+2", ("c1cccc",)),
        ("left@-1", ("b1bbbb",)),
    ],
)
def test_names(forked: History, identifier: str, ids: tuple[str, ...]) -> None:
    assert forked.resolve(identifier) == ids


def test_relative_names_count_from_what_is_applied(forked: History) -> None:
    assert forked.resolve("+1", current=["b1bbbb"]) == ("c1cccc",)
    assert forked.resolve("-1", current=["b1bbbb"]) == ("a1aaaa",)


def test_an_id_goes_before_what_it_looks_like() -> None:
    history = build_history([_file("a"), _file("a+1", "a"), _file("b", "a+1")])

    assert history.resolve("a+1") == ("a+1",)


@pytest.mark.parametrize(
    ("identifier", "error"),
    [
        ("head", MultipleHeads),
        ("nothing", NoSuchRevision),
        ("left@c2cccc", NoSuchRevision),
        ("nothing@head", NoSuchRevision),
        ("c", AmbiguousRevision),
        ("a1aaaa+1", AmbiguousWalk),
        ("heads-1", AmbiguousWalk),
        ("-1", AmbiguousWalk),
        ("c1cccc+1", WalkedTooFar),
        ("c1cccc-4", WalkedTooFar),
        ("+1", NoStartingPoint),
    ],
)
def test_names_that_lead_nowhere(forked: History, identifier: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        forked.resolve(identifier)


def test_two_heads_are_named_and_mended(forked: History) -> None:
    with pytest.raises(MultipleHeads) as caught:
        forked.head()

    assert "c1cccc, c2cccc" in caught.value.what
    assert "alembic merge heads" in (caught.value.fix or "")


def test_the_nearest_id_is_offered(forked: History) -> None:
    with pytest.raises(NoSuchRevision) as caught:
        forked.file("c1cccd")

    assert "c1cccc" in (caught.value.fix or "")


# -- ranges and order -----------------------------------------------------------------------------------
def test_a_range_starts_after_its_lower_end(forked: History) -> None:
    assert [file.revision for file in forked.between("a1aaaa", "left@head")] == ["b1bbbb", "c1cccc"]


def test_a_range_upside_down_is_turned_round(forked: History) -> None:
    with pytest.raises(NotAncestor) as caught:
        forked.between("c1cccc", "a1aaaa")

    assert caught.value.fix == "turn it round: a1aaaa:c1cccc"


def test_a_range_across_branches_is_refused(forked: History) -> None:
    with pytest.raises(NotAncestor):
        forked.between("b2bbbb", "c1cccc")


def test_a_range_brings_what_it_depends_on() -> None:
    history = build_history([_file("a"), _file("b", "a", depends_on=("shop",)), _file("x", labels=("shop",))])

    assert {file.revision for file in history.between("base", "b")} == {"a", "b", "x"}


def test_what_a_database_lacks(forked: History) -> None:
    assert {file.revision for file in forked.unapplied(["b1bbbb"])} == {"b2bbbb", "c1cccc", "c2cccc"}


@st.composite
def graphs(draw: st.DrawFn) -> list[RevisionFile]:
    """Revisions in shuffled file order; each builds on up to two earlier ones, and may depend on one more."""
    count = draw(st.integers(1, 12))
    files = []
    for number in range(count):
        earlier = [f"r{index:03}" for index in range(number)]
        down = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        depends = draw(st.lists(st.sampled_from(earlier), max_size=1, unique=True)) if earlier else []
        depends = [name for name in depends if name not in down]
        files.append(_file(f"r{number:03}", *down, depends_on=tuple(depends)))
    return draw(st.permutations(files))


def _alembic(files: list[RevisionFile]) -> RevisionMap:
    def generate() -> list[Revision]:
        return [
            Revision(file.revision, file.down_revisions or None, dependencies=file.depends_on or None)
            for file in files
        ]

    return RevisionMap(generate)


@settings(derandomize=True)  # the same graphs in every run: one was met that took minutes
@given(graphs())
def test_the_order_is_that_of_alembic(files: list[RevisionFile]) -> None:
    expected = [revision.revision for revision in _alembic(files).iterate_revisions("heads", "base")]

    ordered = build_history(files).between("base", "heads")

    assert [file.revision for file in ordered] == expected[::-1]


@given(graphs())
def test_heads_and_bases_are_those_of_alembic(files: list[RevisionFile]) -> None:
    alembic, history = _alembic(files), build_history(files)

    assert (set(history.heads), set(history.bases)) == (set(alembic.heads), set(alembic.bases))


def test_a_circle_names_its_files(revisions: Revisions) -> None:
    first = revisions.add("a", after="b")
    second = revisions.add("b", after="a")

    with pytest.raises(Cycle) as caught:
        _ = revisions.history

    assert str(first) in (caught.value.fix or "")
    assert str(second) in (caught.value.fix or "")


def test_a_missing_revision_is_not_likened_to_the_one_that_needs_it(revisions: Revisions) -> None:
    revisions.add("0006", after="0099")

    with pytest.raises(MissingRevision) as caught:
        _ = revisions.history

    assert "nearest" not in (caught.value.fix or "")
