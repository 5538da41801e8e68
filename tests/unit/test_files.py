"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.files import CannotWrite, write_whole


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """Killed at any moment while it is overwritten, it holds one text or the other."""
    path = tmp_path / "file"
    path.write_bytes(b"0" * 200_000)
    program = (
        "import sys, itertools; from pathlib import Path; from evolve.files import write_whole\n"
        "print('on', flush=True)\n"
        "for n in itertools.cycle('123'): write_whole(Path(sys.argv[1]), n.encode() * 200_000)"
    )
    for delay in (0.0, 0.01, 0.03):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.communicate()
        content = path.read_bytes()
        assert (len(content), len(set(content))) == (200_000, 1)


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".evolve-abc.part").write_text("half")
    write_whole(tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(CannotWrite, match="folder"):
        write_whole(tmp_path / "folder" / "file", b"")


def test_what_another_process_writes_just_now_is_left_alone(tmp_path: Path) -> None:
    """Two writers in one folder, again and again: neither takes the other's half-written file away."""
    program = (
        "import sys; from pathlib import Path; from evolve.files import write_whole\n"
        "for _ in range(300): write_whole(Path(sys.argv[1]), b'x' * 50_000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / name)]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]


def test_the_mode_of_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    write_whole(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
