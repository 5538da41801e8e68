"""Finds out what a project lacks to be linted by evolve: settings, a hook before each commit, a job in CI.

Nothing is written here but by `Proposal.write`, and what is there already is never replaced.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

import tomlkit

from evolve.errors import Misuse
from evolve.files import refuse_unwritable, write_whole
from evolve.revisions.git import Repository, find_repository
from evolve.revisions.project import Project, find_project
from evolve.values import dataclass

Ci = Literal["github", "gitlab", "none"]

_HOOK = "evolve-lint"
_WORKFLOW = Path(".github/workflows/evolve-lint.yml")
_GITLAB = Path(".gitlab-ci.yml")
_GITLAB_JOB = Path(".gitlab/evolve-lint.yml")
_PRE_COMMIT = Path(".pre-commit-config.yaml")
_GITHUB_OPTIONS = " ".join(
    (
        '--since "origin/$GITHUB_BASE_REF" --format github',
        "--output markdown=evolve.md --output sarif=evolve.sarif",
    )
)
_GITLAB_OPTIONS = (
    "--since FETCH_HEAD --output gitlab=evolve-code-quality.json --output junit=evolve-junit.xml"
)
_HAS_HOOK = re.compile(rf"^[^#\n]*\bid:\s*['\"]?{_HOOK}['\"]?\s*([,}}#]|$)", re.MULTILINE)
_ENTRY = re.compile(r"^[^#\n]*\bentry:.*\bevolve lint\b.*$", re.MULTILINE)


class ChangedMeanwhile(Misuse):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f'"{path}" was changed while you looked at the diff',
            why="what was shown is not what would be written; nothing was",
            fix="run evolve init again",
        )


class Unreadable(Misuse):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f'"{path}" cannot be read: {reason}',
            why="what is there already is never replaced, so evolve has to read it first; nothing was written",
            fix=f"make {path} a file of UTF-8 text",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One file to write. `before` is None where it is to be made."""

    path: Path
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class There:
    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class ByHand:
    sentence: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would make the project one that evolve lints.

    Args:
        project: the Alembic project that was found.
        changes: the files to write, in this order.
        there: files that hold it already, and so are left as they are, each with what it holds.
        by_hand: what evolve cannot write, each as a sentence that says what to add, and where.
    """

    project: Project
    changes: tuple[Change, ...]
    there: tuple[There, ...]
    by_hand: tuple[str, ...]

    def write(self) -> None:
        """Write every file whole; none, where one cannot be or has changed.

        Raises:
            CannotWrite: a folder takes no files.
            ChangedMeanwhile: a file is not what the proposal was made from.
        """
        for change in self.changes:
            refuse_unwritable(change.path.parent)
            if _text(change.path) != change.before:
                raise ChangedMeanwhile(change.path)
        for change in self.changes:
            write_whole(change.path, change.after.encode())


def propose(
    directory: Path, *, ci: Ci | None = None, pre_commit: bool = True, alembic_config: Path | None = None
) -> Proposal:
    """Look at the project and its repository, and say what to write.

    Args:
        directory: where the project is looked for.
        ci: whose jobs to write; what the repository uses unless given.
        pre_commit: write the hook.
        alembic_config: of the settings that are there, if any.

    Raises:
        NoProject and its kin: `find_project` finds none.
        Unreadable: what is there already is no text.
    """
    directory = directory.resolve()  # git names its folders without links
    project = find_project(directory, configuration=alembic_config)
    repository = find_repository(project.root)
    top = repository.top if repository is not None else None
    changes: list[Change] = []
    there: list[There] = []
    by_hand: list[str] = []

    def take(found: Change | There | ByHand) -> None:
        match found:
            case Change():
                changes.append(found)
            case There():
                there.append(found)
            case ByHand(sentence):
                by_hand.append(sentence)

    take(_settings(project, directory, top))
    if repository is None or top is None:
        by_hand.append(f"{project.root} is in no git repository: neither a hook nor a CI job was looked for")
        return Proposal(project, tuple(changes), tuple(there), tuple(by_hand))
    words = _words(project, top)
    if pre_commit:
        take(
            _hook(top, words)
            if words["files"]
            else ByHand(f"its revisions lie outside {top}: no hook sees them")
        )
    chosen = ci or _ci_of(top, repository)
    if chosen == "github":
        take(_job(top / _WORKFLOW, "github.yml", words))
    elif chosen == "gitlab":
        take(_job(top / _GITLAB_JOB, "gitlab.yml", words))
        take(_include(top / _GITLAB))
    return Proposal(project, tuple(changes), tuple(there), tuple(by_hand))


def _settings(project: Project, directory: Path, top: Path | None) -> Change | There | ByHand:
    """[tool.evolve] in the nearest pyproject.toml, or evolve.toml beside the project where there is none."""
    highest = top or project.root
    folders = [folder for folder in (directory, *directory.parents) if folder.is_relative_to(highest)]
    for folder in folders or [project.root]:
        if (folder / "evolve.toml").exists():
            return There(folder / "evolve.toml", "settings")
        file = folder / "pyproject.toml"
        text = _text(file)
        if text is None:
            continue
        if "evolve" in tomllib.loads(text).get("tool", {}):
            return There(file, "[tool.evolve]")
        written = _with_settings(text, _config_of(project, folder))
        try:
            tomllib.loads(written)
        except tomllib.TOMLDecodeError:  # [tool] is written as an inline table
            return ByHand(
                f"add to {file}, in the form that its table tool has:\n{written[len(text.rstrip()) :].strip()}"
            )
        return Change(file, text, written)
    return Change(
        project.root / "evolve.toml", None, _with_settings("", _config_of(project, project.root), prefix="")
    )


def _config_of(project: Project, folder: Path) -> str | None:
    """Where the settings have to say where alembic.ini is: it is not beside them."""
    if project.configuration.parent == folder:
        return None
    return project.configuration.relative_to(folder).as_posix()


def _with_settings(text: str, alembic_config: str | None, prefix: str = "tool.evolve") -> str:
    rows = [f"[{prefix}]"] if prefix else []
    if alembic_config is not None:
        rows.append(f"alembic_config = {tomlkit.string(alembic_config).as_string()}")
    elif prefix:
        rows = []
    lint = f"{prefix}.lint" if prefix else "lint"
    rows += [""] * bool(rows) + [f"[{lint}]", "postgres_version = 15 # the oldest that the revisions meet"]
    added = "\n".join(rows) + "\n"
    written = f"{text.rstrip()}\n\n{added}" if text.strip() else added
    return written.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in text else written


def _words(project: Project, top: Path) -> dict[str, str]:
    root = project.root.relative_to(top).as_posix()
    folders = [folder.resolve() for folder in project.version_directories]
    versions = sorted(folder.relative_to(top).as_posix() for folder in folders if folder.is_relative_to(top))
    lint = "evolve lint" if root == "." else f"evolve lint -C {shlex.quote(root)}"
    return {
        "root": root,
        "staged": _scalar(f"{lint} --staged"),
        "github": _scalar(f"{lint} {_GITHUB_OPTIONS}"),
        "gitlab": _scalar(f"{lint} {_GITLAB_OPTIONS}"),
        "files": "|".join(re.escape(folder) for folder in versions),
    }


def _scalar(text: str) -> str:
    """A command as YAML reads it."""
    return "'" + text.replace("'", "''") + "'" if ": " in text or " #" in text else text


def _hook(top: Path, words: dict[str, str]) -> Change | There | ByHand:
    file = top / _PRE_COMMIT
    text = _text(file)
    entry = _filled("pre_commit.yml", words)
    if text is None:
        return Change(file, None, f"repos:\n{entry}")
    entries = _ENTRY.findall(text)
    of_others = entries and all("-C" in each and words["staged"] not in each for each in entries)
    if _HAS_HOOK.search(text) and not of_others:
        return There(file, f"the hook {_HOOK}")
    written = _appended(text, entry)
    return Change(file, text, written) if written else ByHand(f"add to the repos of {file}:\n{entry}")


def _appended(text: str, entry: str) -> str | None:
    """`text` with `entry` at the end of its list `repos`, indented as the list is; None where it is no such list."""
    lines = text.splitlines()
    begin = next((n for n, line in enumerate(lines) if re.match(r"repos:\s*(#.*)?$", line)), None)
    if begin is None:
        return None
    items = [n for n, line in enumerate(lines) if n > begin and re.match(r"\s*-\s+repo\s*:", line)]
    after = [n for n, line in enumerate(lines) if n > begin and re.match(r"[^\s#-]", line)]
    end = after[0] if after else len(lines)
    if not items or items[0] > end:
        return None
    indent = len(lines[items[0]]) - len(lines[items[0]].lstrip())
    while end > begin and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    added = [" " * indent + line[2:] if line else "" for line in entry.splitlines()]
    newline = "\r\n" if "\r\n" in text else "\n"
    return newline.join([*lines[:end], *added, *lines[end:], ""])


def _include(file: Path) -> Change | There | ByHand:
    text = _text(file)
    line = f"  - local: {_GITLAB_JOB.as_posix()}\n"
    if text is None:
        return Change(file, None, f"include:\n{line}")
    if _GITLAB_JOB.as_posix() in text:
        return There(file, f"the include of {_GITLAB_JOB}")
    if re.search(r"^include\s*:", text, re.MULTILINE):
        return ByHand(f"add to the include of {file}:\n{line}")
    # At the end: what comes before the first line of hyphens may be a document of its own.
    newline = "\r\n" if "\r\n" in text else "\n"
    added = f"\ninclude:\n{line}".replace("\n", newline)
    return Change(file, text, f"{text.rstrip()}{newline}{added}")


def _job(file: Path, template: str, words: dict[str, str]) -> Change | There | ByHand:
    text = _text(file)
    if text is None:
        return Change(file, None, _filled(template, words))
    root = words["root"]
    if root == "." or root in text:
        return There(file, "a job")
    return ByHand(
        f"{file} says nothing of {root}: add a job that lints it, with evolve lint -C {shlex.quote(root)} …"
    )


def _ci_of(top: Path, repository: Repository) -> Ci:
    if (top / _GITLAB).exists():
        return "gitlab"
    if (top / ".github").is_dir():
        return "github"
    addresses = " ".join(repository.remotes())
    return "github" if "github" in addresses else "gitlab" if "gitlab" in addresses else "none"


def _text(file: Path) -> str | None:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Unreadable(file, "it is not UTF-8") from error
    except OSError as error:
        raise Unreadable(file, error.strerror or str(error)) from error


def _filled(template: str, words: dict[str, str]) -> str:
    text = (
        resources.files("evolve.app.init_project")
        .joinpath(f"{template}.template")
        .read_text(encoding="utf-8")
    )
    return Template(text).substitute(words)
