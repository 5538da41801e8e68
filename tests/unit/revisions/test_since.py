"""What git calls new, in repositories as people leave them: moved, squashed, rebased, half merged, shallow, foreign."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.git import git
from support.revision_files import Revisions

from evolve.revisions.default_branch import NoDefaultBranch, default_branch
from evolve.revisions.git import (
    BareRepository,
    GitMissing,
    NoCommits,
    NoCommonAncestor,
    NoSuchReference,
    UnsafeRepository,
    find_repository,
)
from evolve.revisions.history import BrokenFile
from evolve.revisions.select import RevisionGiven, Since, select


def commit(revisions: Revisions, words: str = "as it is") -> None:
    git(revisions.root, "add", "-A", ".")
    git(revisions.root, "commit", "-q", "-m", words)


def since(revisions: Revisions, reference: str = "main") -> list[tuple[str, bool]]:
    """(id, edited) of what is new."""
    chosen = select(revisions.project, revisions.history, Since(reference))
    return [(file.revision, file.edited) for file in chosen]


def notes(revisions: Revisions) -> list[str]:
    told: list[str] = []
    select(revisions.project, revisions.history, Since("main"), on_note=told.append)
    return told


def text(revision: str, after: str | None, body: str = "pass") -> str:
    return f"revision = {revision!r}\ndown_revision = {after!r}\ndef upgrade():\n    {body}\n"


@pytest.fixture
def work(revisions: Revisions) -> Revisions:
    """Revisions a to d on main, and a branch that has just begun; the project lies in a folder of the repository."""
    for name in "abcd":
        revisions.add(name)
    git(revisions.root.parent, "init", "-q", "-b", "main")
    commit(revisions)
    git(revisions.root, "checkout", "-q", "-b", "work")
    return revisions


# -- moved ---------------------------------------------------------------------------------------------------------
def test_moved_and_edited(work: Revisions) -> None:
    git(work.root, "mv", str(work.versions / "c.py"), str(work.versions / "c renamed ü.py"))
    (work.versions / "c renamed ü.py").write_text(text("c", "b", "print(1)"))

    assert since(work) == [("c", True)]


def test_moved_without_telling_git(work: Revisions) -> None:
    (work.versions / "c.py").rename(work.versions / "moved.py")

    assert since(work) == []


@pytest.mark.parametrize("quoted", ["true", "false"])
def test_names_that_git_quotes(work: Revisions, quoted: str) -> None:
    git(work.root, "config", "core.quotepath", quoted)
    work.write('tab\tnew\nline "quote" é.py', text("e", "d"))
    commit(work)

    assert since(work) == [("e", False)]


def test_moved_to_another_version_location(work: Revisions) -> None:
    other = work.root / "more"
    other.mkdir()
    (work.root / "alembic.ini").write_text(
        "[alembic]\nscript_location = migrations\nversion_locations = migrations/versions more\n"
    )
    git(work.root, "mv", str(work.versions / "d.py"), str(other / "d.py"))

    assert since(work) == []


def test_all_version_files_in_a_folder_of_a_new_name(work: Revisions) -> None:
    git(work.root, "mv", "migrations", "alembic")
    (work.root / "alembic.ini").write_text("[alembic]\nscript_location = alembic\n")

    assert since(work) == []


def test_a_draft_that_becomes_a_revision_is_new(work: Revisions) -> None:
    draft = work.root / "drafts" / "e.py"
    draft.parent.mkdir()
    draft.write_text(text("e", "d"))
    commit(work)
    git(work.root, "branch", "-f", "main")
    git(work.root, "mv", str(draft), str(work.versions))

    assert since(work) == [("e", False)]


def test_line_ends_that_git_changes_are_no_difference(work: Revisions) -> None:
    file = work.versions / "c.py"
    source = file.read_bytes().replace(b"\n", b"\r\n")
    file.unlink()
    (work.versions / "moved.py").write_bytes(source)

    assert since(work) == []


@pytest.mark.parametrize("how", ["mode", "line ends", "comment", "layout", "docstring"])
def test_a_change_that_python_cannot_see(work: Revisions, how: str) -> None:
    file = work.versions / "c.py"
    text = file.read_text()
    match how:
        case "mode":
            file.chmod(0o755)
        case "line ends":
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        case "comment":
            file.write_text(f"{text}# read by a formatter\n")
        case "layout":
            file.write_text(text.replace(" = ", " = (\n    ", 1).replace("\ndown", "\n)\ndown", 1))
        case _:
            file.write_text(f'"""what it is about"""\n{text}')

    assert since(work) == []


def test_another_way_back_is_checked_and_no_edit(work: Revisions) -> None:
    file = work.versions / "c.py"
    file.write_text(f"{file.read_text()}\n\ndef downgrade():\n    print()\n")

    assert since(work) == [("c", False)]


def test_a_revision_is_no_reference(work: Revisions) -> None:
    with pytest.raises(RevisionGiven) as caught:
        since(work, "c")

    assert "evolve lint c:heads" in (caught.value.fix or "")


# -- rewritten histories -------------------------------------------------------------------------------------------
def test_a_squash_is_not_new_nor_what_builds_on_it(work: Revisions) -> None:
    for name in "abc":
        (work.versions / f"{name}.py").unlink()
    work.write("squash.py", text("s", None))
    child = work.versions / "d.py"
    child.write_text(child.read_text().replace("down_revision = 'c'", "down_revision = 's'"))
    work.add("e", after="d")

    assert since(work) == [("e", False)]
    assert notes(work) == ["s stands for 3 revisions that are gone (a, b, c): taken as applied, not judged"]


def test_a_squash_under_the_id_of_the_last(work: Revisions) -> None:
    for name in "ab":
        (work.versions / f"{name}.py").unlink()
    (work.versions / "c.py").write_text(text("c", None, "print('all of them')"))

    assert since(work) == []


def test_a_squash_in_the_middle(work: Revisions) -> None:
    for name in "bc":
        (work.versions / f"{name}.py").unlink()
    work.write("squash.py", text("s", "a"))
    child = work.versions / "d.py"
    child.write_text(child.read_text().replace("down_revision = 'c'", "down_revision = 's'"))

    assert since(work) == []


def test_one_revision_in_the_place_of_another_is_new(work: Revisions) -> None:
    (work.versions / "d.py").unlink()
    work.write("other.py", text("x", "c"))

    assert since(work) == [("x", False)]
    assert notes(work) == ["no file declares d any more; a database that has it can go neither up nor down"]


def test_an_applied_revision_put_elsewhere_is_edited(work: Revisions) -> None:
    child = work.versions / "d.py"
    child.write_text(child.read_text().replace("down_revision = 'c'", "down_revision = 'x'"))
    work.add("x", after="c")

    assert since(work) == [("x", False), ("d", True)]


def test_a_revision_of_the_branch_after_a_rebase(work: Revisions) -> None:
    work.add("e", after="d")
    commit(work)
    git(work.root, "checkout", "-q", "main")
    work.add("m", after="d")
    commit(work)
    git(work.root, "checkout", "-q", "work")
    git(work.root, "rebase", "-q", "main")
    file = work.versions / "e.py"
    file.write_text(file.read_text().replace("down_revision = 'd'", "down_revision = 'm'"))

    assert since(work) == [("e", False)]


# -- repositories --------------------------------------------------------------------------------------------------
def test_a_worktree(work: Revisions, tmp_path: Path) -> None:
    top = work.root.parent
    tree = tmp_path.parent / f"{tmp_path.name}-tree"
    git(top, "worktree", "add", "-q", str(tree), "-b", "other")
    there = Revisions.__new__(Revisions)
    there.root = tree / work.root.relative_to(top)
    there.versions = there.root / "migrations" / "versions"
    there.write("e.py", text("e", "d"))

    assert since(there) == [("e", False)]


def test_versions_in_a_repository_of_their_own(work: Revisions) -> None:
    (work.versions / "x.py").write_text(text("x", "d"))
    git(work.versions, "init", "-q", "-b", "main")
    git(work.versions, "add", ".")
    git(work.versions, "commit", "-q", "-m", "theirs")
    (work.versions / "y.py").write_text(text("y", "x"))

    assert since(work) == [("y", False)]


@pytest.mark.parametrize("relative", [True, False])
def test_a_hook_of_another_repository(
    work: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    other = tmp_path.parent / f"{tmp_path.name}-other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    work.add("e", after="d")
    monkeypatch.chdir(other)
    monkeypatch.setenv("GIT_DIR", ".git" if relative else str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index" if relative else str(other / ".git" / "index"))

    assert since(work) == [("e", False)]


def test_a_repository_apart_from_its_files(work: Revisions, monkeypatch: pytest.MonkeyPatch) -> None:
    top = work.root.parent
    work.add("e", after="d")
    (top / ".git").rename(top.parent / f"{top.name}.apart")
    monkeypatch.setenv("GIT_DIR", str(top.parent / f"{top.name}.apart"))
    monkeypatch.setenv("GIT_WORK_TREE", str(top))

    assert since(work) == [("e", False)]


def test_a_detached_head(work: Revisions) -> None:
    git(work.root, "checkout", "-q", "--detach")
    work.add("e", after="d")
    commit(work)

    assert since(work) == [("e", False)]


def test_an_owner_that_git_does_not_trust(work: Revisions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    with pytest.raises(UnsafeRepository, match="does not trust the owner") as caught:
        since(work)

    assert f'safe.directory "{work.root.parent}"' in (caught.value.fix or "")


def test_a_bare_repository(work: Revisions) -> None:
    git(work.root.parent, "config", "core.bare", "true")

    with pytest.raises(BareRepository):
        since(work)


def test_git_is_missing_in_a_repository(
    work: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitMissing):
        default_branch(work.project)


def test_a_worktree_whose_repository_is_gone_is_no_folder_without_one(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text(f"gitdir: {tmp_path}/nowhere\n")
    git(tmp_path.parent, "--version")

    with pytest.raises(Exception, match="not a git repository"):
        find_repository(tmp_path)


def test_a_shallow_clone(work: Revisions, tmp_path: Path) -> None:
    work.add("e", after="d")
    commit(work)
    git(work.root, "checkout", "-q", "main")
    work.add("m", after="d")
    commit(work)
    clone = tmp_path.parent / f"{tmp_path.name}-clone"
    git(
        tmp_path,
        "clone",
        "-q",
        "--depth",
        "1",
        "--no-single-branch",
        f"file://{work.root.parent}",
        str(clone),
    )
    git(clone, "checkout", "-q", "work")
    there = Revisions.__new__(Revisions)
    there.root = clone / work.root.relative_to(work.root.parent)

    with pytest.raises(NoCommonAncestor, match="shallow") as caught:
        since(there, "origin/main")

    assert "git fetch --unshallow" in (caught.value.fix or "")


def test_a_shallow_clone_without_the_default_branch(work: Revisions, tmp_path: Path) -> None:
    clone = tmp_path.parent / f"{tmp_path.name}-clone"
    git(tmp_path, "clone", "-q", "--depth", "1", "-b", "work", f"file://{work.root.parent}", str(clone))
    git(clone, "remote", "set-head", "origin", "--delete")
    there = Revisions.__new__(Revisions)
    there.root = clone / work.root.relative_to(work.root.parent)

    with pytest.raises(NoDefaultBranch, match=r"there are .*origin/work") as caught:
        default_branch(there.project)

    assert "fetch-depth: 0" in (caught.value.fix or "")


def test_the_nearest_reference_is_named(work: Revisions) -> None:
    git(work.root, "tag", "release-41")

    with pytest.raises(NoSuchReference) as caught:
        since(work, "relaese-41")

    assert "did you mean release-41?" in (caught.value.fix or "")


def test_nothing_committed_yet(revisions: Revisions) -> None:
    revisions.add("a")
    git(revisions.root, "init", "-q", "-b", "main")

    with pytest.raises(NoCommits):
        since(revisions)


def test_a_merge_in_progress(work: Revisions) -> None:
    (work.versions / "d.py").write_text(text("d", "c", "print('ours')"))
    commit(work)
    git(work.root, "checkout", "-q", "main")
    (work.versions / "d.py").write_text(text("d", "c", "print('theirs')"))
    commit(work)
    with pytest.raises(subprocess.CalledProcessError):
        git(work.root, "merge", "work")
    told: list[BrokenFile] = []

    select(work.project, work.history, Since("main"), on_broken=told.append)

    assert [(file.path.name, file.reason) for file in told] == [
        ("d.py", "a merge left its conflict markers here")
    ]


def test_no_more_is_asked_of_git_than_needed(
    work: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.add("e", after="d")
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))

    since(work)

    asked = [
        line.split("built-in: git ")[1].split()[0]
        for line in trace.read_text().splitlines()
        if "built-in" in line
    ]
    assert asked == ["rev-parse", "merge-base", "diff", "ls-files"]
    assert not os.path.lexists(work.root.parent / ".git" / "index.lock")
