"""What the words after `evolve lint` mean: a range of revisions, files of revisions, or files of plain SQL."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from evolve.errors import Misuse

STDIN = "-"
_SQL, _PYTHON, _RANGE = ".sql files", "files of revisions (.py)", "ranges of revisions"


class MixedWords(Misuse):
    def __init__(self, kinds: Sequence[str], words: Sequence[str]) -> None:
        shown = ", ".join(words[:5]) + (", …" if len(words) > 5 else "")
        super().__init__(
            f"{shown}: these are {' and '.join(kinds)}",
            why="a file of SQL is a rollout of its own, and one question is about one rollout",
            fix="run `evolve lint` for each: either .sql files, or files of revisions, or one range of revisions",
        )


class SeveralRanges(Misuse):
    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(words[:5])}: one question is about one range of revisions",
            fix="run `evolve lint` for each, or name one that holds all; 0003:0005 begins after 0003",
        )


class NeitherFile(Misuse):
    def __init__(self, word: str, *, directory: bool) -> None:
        super().__init__(
            f"{word} is a directory" if directory else f"{word} is neither Python nor SQL",
            fix="name its files, ending in .py or .sql, or a range: base:heads"
            if directory
            else "name files that end in .py or .sql, or a range: base:heads",
        )


class BesideStaged(Misuse):
    def __init__(self, given: str) -> None:
        super().__init__(
            f"{given} and --staged both say which revisions to check",
            fix="give one of them; --staged finds the files by itself, so that hooks need not pass them",
        )


def names_scripts(words: Sequence[str]) -> bool:
    """Whether what was typed means files of SQL rather than revisions.

    Raises:
        MixedWords: it means several kinds.
        SeveralRanges: it means several ranges.
        NeitherFile: it is the path of something else.
    """
    kinds = list(dict.fromkeys(map(_kind, words)))
    if len(kinds) > 1:
        raise MixedWords(kinds, words)
    if kinds == [_RANGE] and len(words) > 1:
        raise SeveralRanges(words)
    return kinds == [_SQL]


def revision_files(words: Sequence[str]) -> tuple[Path, ...]:
    """The files of revisions that were typed; none where a range was, or nothing."""
    return tuple(Path(word) for word in dict.fromkeys(words) if _kind(word) == _PYTHON)


def refuse_beside_staged(words: Sequence[str], since: str | None, *, unapplied: bool) -> None:
    """
    Raises:
        BesideStaged: one of these was typed as well.
    """
    for option, given in (("REVISIONS", words), ("--since", since), ("--unapplied", unapplied)):
        if given:
            raise BesideStaged(option)


def since_of_pre_commit() -> str | None:
    """The commit that pre-commit compares with, as `pre-commit run --from-ref` in CI and its hook before a push do:
    nothing is staged then.
    """
    return os.environ.get("PRE_COMMIT_FROM_REF") or None


def _kind(word: str) -> str:
    if word == STDIN or word.endswith(".sql"):
        return _SQL
    if word.endswith(".py"):
        return _PYTHON
    if "/" in word and Path(word).exists():
        raise NeitherFile(word, directory=Path(word).is_dir())
    return _RANGE
