"""Debian's Chromium without a window, driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

PATIENCE = 60.0  # seconds
PROGRAM = shutil.which("chromium")


@dataclass
class Tab:
    """One page.

    Args:
        problems: what the console was told of: errors, and what the policy of the page has stopped.
    """

    commands: BinaryIO
    answers: BinaryIO
    session: str = ""
    problems: list[str] = field(default_factory=list)
    number: int = 0

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while True:
            found = json.loads(self._next())
            if found.get("id") == self.number:
                assert "error" not in found, found
                return dict(found["result"])
            self._heard(found)

    def _next(self) -> bytes:
        text = bytearray()
        while (piece := self.answers.read(1)) != b"\0":
            assert piece, "the browser has gone"
            text += piece
        return bytes(text)

    def _heard(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(event["params"]["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(event["params"]["exceptionDetails"]))

    def go(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, (expression, self.value("document.body.innerText"))
            time.sleep(0.1)

    def press(self, key: str) -> None:
        """A key by its name, such as Tab or Enter."""
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], **text)

    def look(self, *, width: int, height: int = 900, scheme: str = "light", scripts: bool = True) -> None:
        """What kind of screen it is, and what its owner likes."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)

    def picture(self, file: Path) -> None:
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def chromium() -> Iterator[Tab]:
    assert PROGRAM is not None
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="evolve-chromium-", ignore_cleanup_errors=True) as folder:
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
            f" --disable-background-networking --user-data-dir={folder} --remote-debugging-pipe about:blank"
        )
        process = subprocess.Popen(
            ["bash", "-c", f"exec {PROGRAM} {flags} 3<&{theirs_in} 4>&{theirs_out}"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        with os.fdopen(ours_out, "wb") as commands, os.fdopen(ours_in, "rb") as answers:
            tab = Tab(commands, answers)
            try:
                page = tab.send("Target.getTargets")["targetInfos"]
                target = next(each["targetId"] for each in page if each["type"] == "page")
                tab.session = tab.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                for domain in ("Page", "Runtime", "Log"):
                    tab.send(f"{domain}.enable")
                yield tab
            finally:
                process.terminate()
                process.wait(PATIENCE)
