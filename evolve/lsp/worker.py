"""The process that judges for the language server: `python -m evolve.lsp.worker`, one question at a time.

It has one thread, so that it can copy itself to read revisions, and Alembic is imported before it does, so that no copy
has to. Standard input and output carry lines of JSON; when the first ends, so does it.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from evolve.config import load
from evolve.errors import EvolveError
from evolve.lint.rule import Rule
from evolve.lsp.judging import Judge, failure, rule_pages
from evolve.lsp.messages import Answer, Hello, Question
from evolve.lsp.together import end_together
from evolve.revisions.cache import open_store
from evolve.revisions.light_start import light_start

# What each copy would import anew.
_OF_COPIES = ("evolve.app.judge_recordings", "evolve.revisions.apart", "evolve.revisions.replayed_schema")


def main(config_file: Path | None, environment: str | None) -> None:
    """
    Args:
        config_file: of all projects; the nearest to each unless given.
        environment: whose settings stand in the place of the others'.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends by it, and this process with the server
    end_together()
    with os.fdopen(os.dup(1), "wb") as says, os.fdopen(os.dup(0), "rb") as hears:
        # What is printed by mistake goes where it hurts nobody.
        os.dup2(2, 1)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 0)
        rules, refusal = _rules()
        judge = Judge(rules, open_store(), partial(load, file=config_file, environment=environment))
        _warm_up()
        says.write(Hello(rule_pages(rules)).to_line())
        says.flush()
        for line in hears:
            says.write(_answer(judge, Question.from_line(line), refusal).to_line())
            says.flush()


def _rules() -> tuple[Sequence[Rule], str]:
    """All rules; where a plugin is broken only those of evolve, and why."""
    from evolve.app.explain_rule import all_rules
    from evolve.lint.rules import ALL

    try:
        return all_rules(), ""
    except EvolveError as error:
        return ALL, str(error)


def _warm_up() -> None:
    with light_start():
        import_module("evolve.revisions.capture")
    for name in _OF_COPIES:
        import_module(name)
    # What lives now lives to the end: neither this process nor a copy looks through it for garbage again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _answer(judge: Judge, question: Question, refusal: str) -> Answer:
    try:
        answer = judge.answer(question)
    except Exception as error:  # noqa: BLE001  # a bug costs this answer, and not those after it
        return failure(question, error, traceback.format_exc())
    if refusal and not answer.log:
        return Answer(answer.notes, answer.is_revision, answer.mended, refusal)
    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="evolve.lsp.worker")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--environment")
    given = parser.parse_args()
    main(given.config, given.environment)
