"""An editor as far as a language server can tell: JSON-RPC over the pipes of `evolve lsp`."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from support.command_line import environment

Json = dict[str, Any]
_PATIENCE = 60.0  # seconds; a machine that is busy with other tests


class Editor:
    """
    Args:
        capabilities: besides those that every editor has.
    """

    def __init__(
        self,
        root: Path,
        *,
        capabilities: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evolve", *arguments, "lsp", "--stdio"],
            cwd=root,
            env=environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.messages: list[Json] = []  # that were not waited for
        self._arrived: queue.Queue[Json | None] = queue.Queue()
        self._next = 0
        self._versions: dict[str, int] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.server: Json = self.request(
            "initialize",
            {"processId": None, "rootUri": root.as_uri(), "capabilities": dict(capabilities or {})},
        )
        self.notify("initialized", {})

    def __enter__(self) -> Editor:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    # -- files -------------------------------------------------------------------------------------------------
    def open(self, file: Path, text: str | None = None) -> list[Json]:
        """Open `file`; what is found in it."""
        self._versions[file.as_uri()] = 1
        content = file.read_bytes().decode() if text is None else text
        document = {"uri": file.as_uri(), "languageId": "python", "version": 1, "text": content}
        self.notify("textDocument/didOpen", {"textDocument": document})
        return self.diagnostics(file)

    def type(self, file: Path, text: str) -> int:
        """Put `text` in the place of what is there; answers its version."""
        version = self._versions[file.as_uri()] = self._versions[file.as_uri()] + 1
        document = {"uri": file.as_uri(), "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})
        return version

    def edit(self, file: Path, text: str) -> list[Json]:
        """The same; answers what is found in it."""
        self.type(file, text)
        return self.diagnostics(file)

    def save(self, file: Path, text: str) -> None:
        file.write_bytes(text.encode())
        self.notify("textDocument/didSave", {"textDocument": {"uri": file.as_uri()}})

    def close(self, file: Path) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": file.as_uri()}})

    def diagnostics(self, file: Path, *, closed: bool = False) -> list[Json]:
        """What is published for the newest text of `file`, or once it is closed."""
        wanted = file.as_uri(), None if closed else self._versions[file.as_uri()]
        for message in self._coming("textDocument/publishDiagnostics"):
            told = message["params"]
            if (told["uri"], told.get("version")) == wanted:
                return list(told["diagnostics"])
        raise AssertionError(f"nothing was published for {wanted}")

    def hover(self, file: Path, line: int, character: int = 6) -> str:
        """What is shown there, in Markdown; lines count from 0."""
        found = self.request(
            "textDocument/hover",
            {
                "textDocument": {"uri": file.as_uri()},
                "position": {"line": line, "character": character},
            },
        )
        return str(found["contents"]["value"]) if found else ""

    def actions(self, file: Path, diagnostic: Json, only: Sequence[str] | None = None) -> list[Json]:
        context: Json = {"diagnostics": [diagnostic]}
        if only is not None:
            context["only"] = list(only)
        found = self.request(
            "textDocument/codeAction",
            {"textDocument": {"uri": file.as_uri()}, "range": diagnostic["range"], "context": context},
        )
        return list(found or [])

    # -- messages ----------------------------------------------------------------------------------------------
    def notify(self, method: str, params: object) -> None:
        self._send({"method": method, "params": params})

    def request(self, method: str, params: object) -> Any:
        self._next += 1
        number = self._next
        self._send({"id": number, "method": method, "params": params})
        for message in self._all(_PATIENCE):
            if message.get("id") == number and "method" not in message:
                if "error" in message:
                    raise AssertionError(message["error"])
                return message["result"]
            self.messages.append(message)
        raise AssertionError(f"no answer to {method}")

    def shut_down(self) -> int:
        """Leave as editors do; the exit status."""
        self.request("shutdown", None)
        self.notify("exit", None)
        return self.process.wait(_PATIENCE)

    def told(self, method: str) -> list[str]:
        """What was shown or logged until now."""
        return [m["params"]["message"] for m in self.messages if m.get("method") == method]

    def _coming(self, method: str) -> Iterator[Json]:
        """Messages of that method, those that came before first."""
        kept, self.messages = self.messages, []
        for message in chain(kept, self._all(_PATIENCE)):
            if message.get("method") == method:
                yield message
            else:
                self.messages.append(message)

    def _all(self, patience: float) -> Iterator[Json]:
        until = time.monotonic() + patience
        while True:
            try:
                message = self._arrived.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            if message is None:
                return
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": None})
                continue
            yield message

    def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while True:
            length = 0
            while line := self.process.stdout.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not length:
                self._arrived.put(None)
                return
            self._arrived.put(json.loads(self.process.stdout.read(length)))


def applied(text: str, edit: Json, uri: str) -> str:
    """`text` with a workspace edit, columns counted in UTF-16 as the protocol has them."""
    changes = edit.get("changes", {}).get(uri) or next(
        each["edits"] for each in edit.get("documentChanges", []) if each["textDocument"]["uri"] == uri
    )
    lines = text.split("\n")

    def offset(position: Json) -> int:
        before = sum(len(line) + 1 for line in lines[: position["line"]])
        units = lines[position["line"]].encode("utf-16-le")[: 2 * position["character"]]
        return before + len(units.decode("utf-16-le"))

    places = [(offset(e["range"]["start"]), offset(e["range"]["end"]), e["newText"]) for e in changes]
    made, at = [], 0
    for start, end, new in sorted(places, key=lambda place: place[:2]):
        made += [text[at:start], new]
        at = end
    return "".join((*made, text[at:]))


def underlined(text: str, diagnostic: Json) -> str:
    """What a diagnostic stands under."""
    lines = text.split("\n")
    start, end = diagnostic["range"]["start"], diagnostic["range"]["end"]

    def part(line: int, first: int, last: int | None) -> str:
        units = lines[line].encode("utf-16-le")
        return units[2 * first : None if last is None else 2 * last].decode("utf-16-le")

    if start["line"] == end["line"]:
        return part(start["line"], start["character"], end["character"])
    middle = lines[start["line"] + 1 : end["line"]]
    return "\n".join(
        (part(start["line"], start["character"], None), *middle, part(end["line"], 0, end["character"]))
    )
