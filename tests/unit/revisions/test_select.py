"""Which revisions a question is about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.git import git
from support.revision_files import Revisions

from evolve.revisions.git import GitFailed, GitMissing, NoCommonAncestor, NoSuchReference, NotARepository
from evolve.revisions.history import BrokenRevision, MultipleHeads, NoSuchRevision
from evolve.revisions.select import (
    Range,
    Selection,
    Since,
    Unapplied,
    UnknownApplied,
    select,
)


def _selected(revisions: Revisions, selection: Selection) -> list[str]:
    return [file.revision for file in select(revisions.project, revisions.history, selection)]


@pytest.fixture
def committed(revisions: Revisions) -> Revisions:
    """Revisions a and b on branch main, in a repository whose top is above the project."""
    revisions.add("a")
    revisions.add("b")
    git(revisions.root.parent, "init", "-q", "-b", "main")
    git(revisions.root.parent, "add", ".")
    git(revisions.root.parent, "commit", "-q", "-m", "start")
    return revisions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base:heads", ["a", "b", "c"]),
        ("base:head", ["a", "b", "c"]),
        (":", ["a", "b", "c"]),
        ("a:", ["b", "c"]),
        (":b", ["a", "b"]),
        ("a:c", ["b", "c"]),
        ("b", ["b"]),
        ("head", ["c"]),
        ("head-1", ["b"]),
        ("a:+1", ["b"]),
        ("base:base", []),
    ],
)
def test_ranges(revisions: Revisions, text: str, expected: list[str]) -> None:
    for name in "abc":
        revisions.add(name)

    assert _selected(revisions, Range(text)) == expected


def test_two_heads_where_one_is_asked(revisions: Revisions) -> None:
    revisions.add("a")
    revisions.add("b", after="a")
    revisions.add("c", after="a")

    with pytest.raises(MultipleHeads, match="b, c"):
        _selected(revisions, Range("base:head"))


def test_an_unknown_revision(revisions: Revisions) -> None:
    revisions.add("a")

    with pytest.raises(NoSuchRevision):
        _selected(revisions, Range("zzz"))


def test_a_selected_file_that_does_not_compile_is_named(revisions: Revisions) -> None:
    revisions.add("a")
    path = revisions.add("b", "return (")

    with pytest.raises(BrokenRevision, match=rf"{path}:\d+ cannot be read"):
        _selected(revisions, Range("base:heads"))


def test_a_file_that_does_not_compile_costs_only_itself(revisions: Revisions) -> None:
    revisions.add("a")
    revisions.add("b", "return (")

    assert _selected(revisions, Range("a")) == ["a"]


def test_a_file_without_an_id_may_be_a_head(revisions: Revisions) -> None:
    revisions.add("a")
    revisions.write("b.py", "revision = next_id()\ndown_revision = 'a'\n")

    with pytest.raises(BrokenRevision):
        _selected(revisions, Range("base:heads"))


def test_what_a_database_lacks(revisions: Revisions) -> None:
    for name in "abc":
        revisions.add(name)

    assert _selected(revisions, Unapplied(("a",))) == ["b", "c"]


def test_an_empty_database_lacks_everything(revisions: Revisions) -> None:
    revisions.add("a")

    assert _selected(revisions, Unapplied(())) == ["a"]


def test_a_database_ahead_of_the_checkout(revisions: Revisions) -> None:
    revisions.add("a")

    with pytest.raises(UnknownApplied, match='"z"'):
        _selected(revisions, Unapplied(("z",)))


# -- git ------------------------------------------------------------------------------------------------
def test_nothing_is_new_in_a_clean_checkout(committed: Revisions) -> None:
    assert _selected(committed, Since("main")) == []


def test_committed_staged_saved_and_changed_files_are_new(committed: Revisions) -> None:
    root = committed.root
    git(root, "checkout", "-q", "-b", "feature")
    committed.add("c")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "c")
    committed.add("d")
    git(root, "add", ".")
    committed.add("e")
    with (committed.versions / "b.py").open("a") as file:
        file.write("changed = True\n")

    assert _selected(committed, Since("main")) == ["b", "c", "d", "e"]


def test_what_the_other_branch_added_since_is_not_new(committed: Revisions) -> None:
    root = committed.root
    git(root, "checkout", "-q", "-b", "feature")
    committed.add("c", after="b")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "c")
    git(root, "checkout", "-q", "main")
    committed.add("m", after="b")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "m")
    git(root, "checkout", "-q", "feature")

    assert _selected(committed, Since("main")) == ["c"]


def test_a_file_that_merely_moved_is_not_new(committed: Revisions) -> None:
    git(committed.root, "mv", str(committed.versions / "b.py"), str(committed.versions / "b_renamed.py"))
    git(committed.root, "commit", "-q", "-m", "move")

    assert _selected(committed, Since("HEAD~1")) == []


def test_an_ignored_file_is_not_new(committed: Revisions) -> None:
    (committed.root / ".gitignore").write_text("scratch_*.py\n")
    text = (committed.versions / "b.py").read_text().replace("'b'", "'s'").replace("'a'", "'b'")
    committed.write("scratch_s.py", text)

    assert _selected(committed, Since("main")) == []


def test_a_deleted_file_is_nothing(committed: Revisions) -> None:
    (committed.versions / "b.py").unlink()

    assert _selected(committed, Since("main")) == []


def test_names_beyond_ascii(committed: Revisions) -> None:
    text = (committed.versions / "b.py").read_text().replace("'b'", "'ü'").replace("'a'", "'b'")
    committed.write("für alle.py", text)

    assert _selected(committed, Since("main")) == ["ü"]


def test_a_broken_new_file_is_named(committed: Revisions) -> None:
    committed.write("x.py", "revision = (\n")

    with pytest.raises(BrokenRevision, match=r"x\.py"):
        _selected(committed, Since("main"))


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on the PATH")
def test_no_repository(revisions: Revisions) -> None:
    revisions.add("a")

    with pytest.raises(NotARepository):
        _selected(revisions, Since("main"))


@pytest.mark.parametrize("reference", ["no-such-branch", "--output=/tmp/x", "HEAD~99", ""])
def test_no_such_reference(committed: Revisions, reference: str) -> None:
    with pytest.raises(NoSuchReference):
        _selected(committed, Since(reference))


def test_histories_without_a_common_commit(committed: Revisions) -> None:
    git(committed.root, "checkout", "-q", "--orphan", "island")
    git(committed.root, "commit", "-q", "-m", "island")

    with pytest.raises(NoCommonAncestor) as caught:
        _selected(committed, Since("main"))

    assert "--unshallow" not in (caught.value.fix or "")


def test_no_git(committed: Revisions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(committed.root))

    with pytest.raises(GitMissing):
        _selected(committed, Since("main"))


def test_a_git_that_fails_is_quoted(
    committed: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    real = shutil.which("git")
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *diff*) echo "fatal: disk is gone" >&2; exit 128;; esac\nexec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin")

    with pytest.raises(GitFailed, match="fatal: disk is gone"):
        _selected(committed, Since("main"))
