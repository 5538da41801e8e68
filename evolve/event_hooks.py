"""Listeners that a project names in its settings: a Python function, or a command that gets each event as JSON."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from evolve.errors import Misuse
from evolve.events import Event, Listener

TIMEOUT = 10.0  # seconds that a command may take for one event

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")


class BadHook(Misuse):
    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f'the hook "{text}" of on_event cannot be called: {reason}',
            fix='name a function as "package.module:function", or a command with its arguments',
        )


class HookFailed(Exception):
    """What a command that was called has come to; nothing of its arguments."""


def hook(text: str, folder: Path) -> Listener:
    """
    Args:
        text: "package.module:function", or a command, which is started in `folder` without a shell.
        folder: of the project; modules are found from there too.

    Raises:
        BadHook: there is no such function, or the command cannot be read.
    """
    if _FUNCTION.match(text):
        return _function(text, folder)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadHook(text, str(error)) from error
    if not words:
        raise BadHook(text, "it is empty")

    def run(event: Event) -> None:
        try:
            done = subprocess.run(
                words, input=event.as_json() + "\n", text=True, cwd=folder, timeout=TIMEOUT, check=False,
                stdout=sys.stderr,  # what it prints is no result
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HookFailed(f"it took longer than {TIMEOUT:.0f} s") from None
        if done.returncode != 0:
            raise HookFailed(f"it ended in status {done.returncode}")

    return run


def title(text: str) -> str:
    """What a hook is called in a log: a command without its arguments, which may hold a token."""
    return f'hook "{text if _FUNCTION.match(text) else text.split(maxsplit=1)[0]}"'


def _function(text: str, folder: Path) -> Listener:
    module, _, path = text.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: object = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise BadHook(text, str(error)) from error
    if not callable(found):
        raise BadHook(text, "it is no function")

    def call(event: Event) -> None:
        found(event)

    return call
