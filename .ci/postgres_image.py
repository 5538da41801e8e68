"""Have a PostgreSQL image: pull it, or where no registry can be reached make one out of the embedded wheel.

Usage: python .ci/postgres_image.py WANTED MADE

Prints WANTED (such as postgres:18) if it is there or can be pulled, else MADE, the name of the image it made. That
one holds the wheel's newest server, a shell, and the libraries that both load; as the official image does, it reads
POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB, and takes server options as its command.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from evolve.postgres.scratch import programs

USER_ID = 999
HOME = "/var/lib/postgresql"

# Only the shell's own commands: there is nothing else in the image.
ENTRY = f"""#!/bin/sh
set -e
umask 077
printf '%s\\n' "$POSTGRES_PASSWORD" > {HOME}/password
initdb -D {HOME}/data -U "$POSTGRES_USER" --pwfile={HOME}/password --auth=scram-sha-256 \\
    --encoding=UTF8 --no-locale --no-sync
printf 'host all all all scram-sha-256\\n' >> {HOME}/data/pg_hba.conf
if [ "$POSTGRES_DB" != postgres ]; then
    printf 'CREATE DATABASE "%s"\\n' "$POSTGRES_DB" | postgres --single -D {HOME}/data postgres
fi
exec postgres -D {HOME}/data -c listen_addresses='*' "$@"
"""


def main() -> None:
    wanted, made = sys.argv[1:]
    with contextlib.closing(docker.from_env()) as engine:
        if not _have(engine, wanted):
            _make(engine, made)
            wanted = made
    sys.stdout.write(f"{wanted}\n")


def _have(engine: docker.DockerClient, image: str) -> bool:
    try:
        engine.images.get(image)
    except ImageNotFound:
        try:
            engine.images.pull(image)
        except DockerException:
            return False
    return True


def _make(engine: docker.DockerClient, name: str) -> None:
    repository, _, tag = name.partition(":")
    found = programs.in_the_wheel()[0]
    server = f"/opt/{found.folder.relative_to(found.home)}"
    with tempfile.TemporaryFile() as output:
        with tarfile.open(fileobj=output, mode="w") as image:
            _fill(image, found)
        output.seek(0)
        answer = engine.api.import_image(
            src=output,
            repository=repository,
            tag=tag,
            changes=[
                f"ENV PATH={server}:/bin",
                f"USER {USER_ID}",
                f"WORKDIR {HOME}",
                "EXPOSE 5432",
                'ENTRYPOINT ["/bin/sh", "/entry"]',
            ],
        )
    if "error" in answer:
        sys.exit(f"the engine refused the image: {answer}")


def _fill(image: tarfile.TarFile, found: programs.Programs) -> None:
    for part in found.parts:
        image.add(found.home / part, f"opt/{part}")
    for library in sorted(_libraries([*found.folder.iterdir(), Path("/bin/sh")])):
        image.add(os.path.realpath(library), str(library).lstrip("/"))
    image.add(os.path.realpath("/bin/sh"), "bin/sh")
    _add_file(image, "etc/passwd", f"postgres:x:{USER_ID}:{USER_ID}::{HOME}:/bin/sh\n")
    _add_file(image, "etc/group", f"postgres:x:{USER_ID}:\n")
    _add_file(image, "entry", ENTRY)
    _add_folder(image, "tmp", 0, 0o1777)
    _add_folder(image, HOME.lstrip("/"), USER_ID, 0o700)


def _libraries(files: list[Path]) -> set[Path]:
    """The machine's own libraries that `files` load; those of the wheel go along with it."""
    found: set[Path] = set()
    for file in files:
        said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False)
        found |= {Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+)", said.stdout, re.MULTILINE)}
    return {path for path in found if "site-packages" not in path.parts}


def _add_file(image: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    entry.mode = 0o644
    image.addfile(entry, io.BytesIO(text.encode()))


def _add_folder(image: tarfile.TarFile, name: str, owner: int, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.uid = entry.gid = owner
    entry.mode = mode
    image.addfile(entry)


if __name__ == "__main__":
    main()
