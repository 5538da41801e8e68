"""What happens where a report cannot be written after all."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.reports import FOUND, report

from evolve.cli.lint_output import Output, Page, Reporting, ReportNotWritten, show
from evolve.lint.demands import Demands


def test_the_others_are_written_where_one_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outputs = [
        Output("json", tmp_path / "file" / "a.json"),
        Output("gitlab", tmp_path / "b.json"),
        Output("gcc", tmp_path / "file" / "c.txt"),
    ]
    reporting = Reporting(verbose=False, report_format="text", output=())
    page = Page(tmp_path, 80, verbose=False, docs_url=None, demands=Demands())

    with pytest.raises(ReportNotWritten) as refused:
        show(reporting, outputs, report(FOUND), page, "one revision")

    assert "EV204" in (tmp_path / "b.json").read_text()
    assert refused.value.exit_code == 2
    assert [path.name in refused.value.what for _, path in map(_parts, outputs)] == [True, False, True]


def _parts(output: Output) -> tuple[str, Path]:
    return output.format, output.path
