"""`evolve lsp` as an editor sees it: a scripted client over pipes, revisions that change under its hands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.command_line import evolve
from support.git import git
from support.language_client import Editor, applied, underlined

GUIDE = Path(__file__).parents[2] / "evolve/docs/guides/editors.md"
TABLE = "op.create_table('orders', sa.Column('id', sa.BigInteger(), primary_key=True), sa.Column('email', sa.Text()))"
INDEX = "op.create_index('orders_email', 'orders', ['email'])"


@pytest.fixture
def project(make_project: Callable[..., AlembicProject]) -> AlembicProject:
    """A table that is released, and one revision on top of it that builds an index."""
    made = make_project()
    made.add("a1", TABLE)
    git(made.root, "init", "-q", "-b", "main")
    git(made.root, "add", ".")
    git(made.root, "commit", "-qm", "released")
    made.add("b2", INDEX)
    return made


@pytest.fixture
def revision(project: AlembicProject) -> Path:
    return project.versions / "b2.py"


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """One for all tests that leave it alive; each works in a project of its own."""
    with Editor(tmp_path_factory.mktemp("workspace")) as started:
        yield started


@pytest.fixture
def own_editor(project: AlembicProject) -> Iterator[Editor]:
    with Editor(project.root) as started:
        yield started


def codes(diagnostics: list[dict]) -> list[str]:
    return sorted(each["code"] for each in diagnostics)


def children(process: int) -> set[int]:
    """Processes below `process`, theirs too."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == process:
                found |= {int(entry.name)} | children(int(entry.name))
    return found


def worker_of(editor: Editor) -> int:
    for each in children(editor.process.pid):
        if b"evolve.lsp.worker" in Path(f"/proc/{each}/cmdline").read_bytes():
            return each
    raise AssertionError("no process judges")


def all_gone(processes: set[int], patience: float = 20) -> bool:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if not any(_runs(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- diagnostics -------------------------------------------------------------------------------------------------
def test_a_finding_stands_under_its_statement(editor: Editor, revision: Path) -> None:
    (found,) = editor.open(revision)
    assert (found["code"], found["severity"], found["source"]) == ("EV102", 1, "evolve")
    assert underlined(revision.read_text(), found) == INDEX


def test_what_is_found_is_what_lint_finds(editor: Editor, project: AlembicProject, revision: Path) -> None:
    (found,) = editor.open(revision)
    said = evolve("lint", "b2", cwd=project.root).stdout
    assert found["message"].splitlines()[0] in " ".join(said.split())


def test_a_finding_leads_to_the_page_of_its_rule(editor: Editor, revision: Path) -> None:
    (found,) = editor.open(revision)
    page = Path(found["codeDescription"]["href"].removeprefix("file://"))
    assert page.read_text().startswith("# EV102")


def test_an_edit_is_judged_before_it_is_saved(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    text = revision.read_text().replace("['email']", "['email'], postgresql_concurrently=True")
    assert codes(editor.edit(revision, text)) == ["EV601"]


def test_columns_are_counted_as_the_editor_counts(editor: Editor, revision: Path) -> None:
    statement = "op.create_index('größe_😀', 'orders', ['email'])"
    text = revision.read_text().replace(INDEX, f"if '😀😀ü': {statement}  # 😀")
    editor.open(revision)
    (found,) = editor.edit(revision, text)
    assert underlined(text, found) == statement


def test_of_several_statements_in_a_line_all_are_marked(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    text = revision.read_text().replace(INDEX, f"a = 1; {INDEX}; b = 2")
    (found,) = editor.edit(revision, text)
    assert underlined(text, found) == f"a = 1; {INDEX}; b = 2"


def test_a_statement_over_several_lines_is_marked_whole(editor: Editor, revision: Path) -> None:
    statement = "op.create_index(\n        'orders_email',\n        'orders',\n        ['email'],\n    )"
    text = revision.read_text().replace(INDEX, statement)
    editor.open(revision)
    (found,) = editor.edit(revision, text)
    assert underlined(text, found) == statement


@pytest.mark.parametrize("encoding", ["utf-8", "utf-32"])
def test_an_editor_may_count_otherwise(project: AlembicProject, revision: Path, encoding: str) -> None:
    text = revision.read_text().replace(INDEX, f"if '😀': {INDEX}")
    with Editor(project.root, capabilities={"general": {"positionEncodings": [encoding]}}) as editor:
        (found,) = editor.open(revision, text)
    before = {"utf-8": "    if '😀': ".encode(), "utf-32": "    if '😀': "}[encoding]
    assert found["range"]["start"]["character"] == len(before)


def test_a_byte_order_mark_moves_nothing(editor: Editor, revision: Path) -> None:
    text = "\ufeff" + revision.read_text()
    (found,) = editor.open(revision, text)
    assert underlined(text, found) == INDEX


def test_windows_line_ends_move_nothing(editor: Editor, revision: Path) -> None:
    text = revision.read_text().replace("\n", "\r\n")
    (found,) = editor.open(revision, text)
    assert underlined(text, found) == INDEX


def test_a_syntax_error_while_typing_is_the_only_finding(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    text = revision.read_text().replace(INDEX, "op.create_index('orders_email',")
    (found,) = editor.edit(revision, text)
    assert found["code"].startswith("EV90")
    assert editor.edit(revision, revision.read_text())[0]["code"] == "EV102"


def test_a_half_written_head_is_told_of(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    (found,) = editor.edit(
        revision, revision.read_text().replace("down_revision = 'a1'", "down_revision = 'a")
    )
    assert found["severity"] == 1


def test_a_parent_that_is_not_there_is_told_of(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    (found,) = editor.edit(revision, revision.read_text().replace("'a1'", "'nowhere'"))
    assert '"nowhere"' in found["message"]


def test_two_files_are_judged_each_by_its_own_text(
    editor: Editor, project: AlembicProject, revision: Path
) -> None:
    other = project.add("c3", "op.drop_column('orders', 'email')")
    assert codes(editor.open(revision)) == ["EV102"]
    assert "EV102" not in codes(editor.open(other))
    assert editor.edit(revision, revision.read_text().replace(INDEX, "pass")) == []


def test_a_revision_is_judged_on_the_open_text_of_the_one_before(
    editor: Editor, project: AlembicProject, revision: Path
) -> None:
    other = project.add("c3", "op.create_index('n', 'notes', ['id'])")
    editor.open(revision)
    editor.edit(
        revision,
        revision.read_text().replace(
            INDEX, "op.create_table('notes', sa.Column('id', sa.Integer(), primary_key=True))"
        ),
    )
    assert "EV102" not in codes(editor.open(other))  # nobody uses a table that is new


def test_what_is_closed_is_cleared(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    editor.close(revision)
    assert editor.diagnostics(revision, closed=True) == []


def test_a_renamed_file_is_judged_under_its_new_name(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    editor.close(revision)
    renamed = revision.rename(revision.with_name("b2_index.py"))
    assert codes(editor.open(renamed)) == ["EV102"]


@pytest.mark.parametrize("name", ["migrations/env.py", "app.py", "migrations/versions/new.py"])
def test_nothing_is_said_of_other_files(editor: Editor, project: AlembicProject, name: str) -> None:
    file = project.root / name
    text = file.read_text() if file.exists() else "revision = 'x'\ndown_revision = 'b2'\n"
    assert editor.open(file, text) == []


def test_nothing_is_said_where_there_is_no_project(tmp_path: Path) -> None:
    file = tmp_path / "alone.py"
    file.write_text("revision = 'x'\ndown_revision = None\n\ndef upgrade():\n    1/0\n")
    with Editor(tmp_path) as editor:
        assert editor.open(file) == []


# -- settings ------------------------------------------------------------------------------------------------
def test_settings_that_change_hold_at_once(editor: Editor, project: AlembicProject, revision: Path) -> None:
    editor.open(revision)
    (project.root / "evolve.toml").write_text('lint.ignore = ["EV102"]\n')
    assert editor.edit(revision, revision.read_text() + "\n") == []


def test_broken_settings_are_told_of_in_the_file(
    editor: Editor, project: AlembicProject, revision: Path
) -> None:
    (project.root / "evolve.toml").write_text('lint.ignor = ["EV102"]\n')
    (found,) = editor.open(revision)
    assert '"lint.ignor' in found["message"] or "ignor" in found["message"]
    editor.edit(revision, revision.read_text() + "\n")
    assert editor.told("window/showMessage") == []


def test_the_site_of_the_pages_is_linked(editor: Editor, project: AlembicProject, revision: Path) -> None:
    (project.root / "evolve.toml").write_text('lint.docs_url = "https://docs.example.org/evolve/"\n')
    (found,) = editor.open(revision)
    assert found["codeDescription"]["href"] == "https://docs.example.org/evolve/rules/EV102.html"


def test_an_environment_has_settings_of_its_own(project: AlembicProject, revision: Path) -> None:
    (project.root / "evolve.toml").write_text('[environments.production]\nlint.ignore = ["EV102"]\n')
    with Editor(project.root, arguments=["-E", "production"]) as editor:
        assert editor.open(revision) == []


# -- hover, fixes ----------------------------------------------------------------------------------------------
def test_hovering_shows_the_safe_form_and_the_page(editor: Editor, revision: Path) -> None:
    (found,) = editor.open(revision)
    shown = editor.hover(revision, found["range"]["start"]["line"])
    assert "postgresql_concurrently=True" in shown
    assert "# EV102 create-index-blocking" in shown


def test_hovering_where_nothing_is_found_shows_nothing(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    assert editor.hover(revision, 0) == ""


def test_hovering_over_an_allowed_rule_shows_its_page(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    comment = "# evolve: allow[create-index-blocking] because the table is small"
    text = revision.read_text().replace(INDEX, f"{comment}\n    {INDEX}")
    assert editor.edit(revision, text) == []
    line = text[: text.index(comment)].count("\n")
    assert editor.hover(revision, line, 24).startswith("# EV102")


@pytest.mark.parametrize("documents", [False, True])
def test_a_fix_makes_a_revision_that_lints_clean(
    project: AlembicProject, revision: Path, documents: bool
) -> None:
    text = revision.read_text().replace(INDEX, f"'😀'\n    {INDEX}")
    with Editor(
        project.root, capabilities={"workspace": {"workspaceEdit": {"documentChanges": documents}}}
    ) as editor:
        (found,) = editor.open(revision, text)
        fix = next(each for each in editor.actions(revision, found) if each.get("isPreferred"))
        assert fix["kind"] == "quickfix"
        assert editor.edit(revision, applied(text, fix["edit"], revision.as_uri())) == []


def test_a_comment_allows_a_finding_once_it_gives_a_reason(editor: Editor, revision: Path) -> None:
    (found,) = editor.open(revision)
    allow = next(each for each in editor.actions(revision, found) if each["title"].startswith("Allow"))
    text = applied(revision.read_text(), allow["edit"], revision.as_uri())
    assert "    # evolve: allow[create-index-blocking] because \n" in text
    assert editor.edit(revision, text.replace("because \n", "because it is small\n")) == []


def test_all_that_is_sure_is_mended_at_once(editor: Editor, revision: Path) -> None:
    second = "op.create_index('orders_id_email', 'orders', ['email', 'id'])"
    text = revision.read_text().replace(INDEX, second)
    editor.open(revision)
    (found,) = editor.edit(revision, text)
    (action,) = editor.actions(revision, found, only=["source.fixAll"])
    assert editor.edit(revision, applied(text, action["edit"], revision.as_uri())) == []


def test_an_action_may_be_worked_out_later(project: AlembicProject, revision: Path) -> None:
    later = {"codeAction": {"dataSupport": True, "resolveSupport": {"properties": ["edit"]}}}
    with Editor(project.root, capabilities={"textDocument": later}) as editor:
        (found,) = editor.open(revision)
        action = next(a for a in editor.actions(revision, found) if a["kind"] == "source.fixAll.evolve")
        assert "edit" not in action
        resolved = editor.request("codeAction/resolve", action)
        assert editor.edit(revision, applied(revision.read_text(), resolved["edit"], revision.as_uri())) == []


def test_names_of_rules_are_completed(editor: Editor, revision: Path) -> None:
    text = revision.read_text().replace(INDEX, f"# evolve: allow[\n    {INDEX}")
    editor.open(revision, text)
    line = next(number for number, words in enumerate(text.split("\n")) if "allow[" in words)
    where = {"line": line, "character": 20}
    found = editor.request(
        "textDocument/completion", {"textDocument": {"uri": revision.as_uri()}, "position": where}
    )
    assert "create-index-blocking" in {each["label"] for each in found}


# -- what goes wrong -------------------------------------------------------------------------------------------
def test_a_process_that_is_killed_is_started_again(own_editor: Editor, revision: Path) -> None:
    own_editor.open(revision)
    for number in range(3):
        os.kill(worker_of(own_editor), signal.SIGKILL)
        assert codes(own_editor.edit(revision, revision.read_text() + f"# {number}\n")) == ["EV102"]
    assert len(own_editor.told("window/showMessage")) == 1


def test_a_revision_that_never_ends_costs_its_time_limit(
    editor: Editor, project: AlembicProject, revision: Path
) -> None:
    (project.root / "evolve.toml").write_text("lint.time_limit = 1\n")
    editor.open(revision)
    (found,) = editor.edit(revision, revision.read_text().replace(INDEX, "while True: pass"))
    assert found["code"].startswith("EV90")
    assert codes(editor.edit(revision, revision.read_text())) == ["EV102"]


def test_only_the_newest_of_many_texts_is_judged(own_editor: Editor, revision: Path) -> None:
    own_editor.open(revision)
    for number in range(30):
        own_editor.type(revision, revision.read_text() + f"# {number}\n")
    assert codes(own_editor.diagnostics(revision)) == ["EV102"]
    stale = [m for m in own_editor.messages if m.get("method") == "textDocument/publishDiagnostics"]
    assert stale == []


def test_a_revision_that_prints_disturbs_nobody(editor: Editor, revision: Path) -> None:
    editor.open(revision)
    text = revision.read_text().replace(INDEX, f"import os; os.write(1, b'x' * 10); print('y')\n    {INDEX}")
    assert "EV102" in codes(editor.edit(revision, text))


def test_what_is_saved_is_known_to_the_other_files(
    own_editor: Editor, project: AlembicProject, revision: Path
) -> None:
    other = project.add("c3", "op.create_index('n', 'notes', ['body'])")
    own_editor.open(revision)
    assert own_editor.open(other) != []  # there are no notes
    table = "op.create_table('notes', sa.Column('id', sa.Integer(), primary_key=True), sa.Column('body', sa.Text()))"
    own_editor.save(revision, revision.read_text().replace(INDEX, table))
    assert own_editor.diagnostics(other) == []


def test_without_its_library_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pygls'] = None; from evolve.cli import main; sys.argv[1:] = ['lsp']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, 'pip install "alembic-evolve[lsp]"' in done.stderr) == (2, True)


def test_what_the_guide_lets_editors_start_is_a_server(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"^```(json|toml)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL))
    vscode, helix = json.loads(blocks["json"]), tomllib.loads(blocks["toml"])
    for arguments in (vscode["glspc.server.commandArguments"], helix["language-server"]["evolve"]["args"]):
        done = evolve(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")  # the editor left without a word


# -- the end ---------------------------------------------------------------------------------------------------
def test_shutdown_leaves_nothing_behind(own_editor: Editor, revision: Path) -> None:
    own_editor.open(revision)
    processes = children(own_editor.process.pid)
    assert own_editor.shut_down() == 0
    assert processes
    assert all_gone(processes)


@pytest.mark.parametrize("how", ["stdin", "kill", "terminate"])
def test_nothing_is_left_behind_when_the_editor_or_the_server_dies(
    own_editor: Editor, project: AlembicProject, revision: Path, how: str
) -> None:
    own_editor.open(revision)
    own_editor.type(revision, revision.read_text().replace(INDEX, "while True: pass"))
    until = time.monotonic() + 30
    while len(children(own_editor.process.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    processes = children(own_editor.process.pid) | {own_editor.process.pid}
    assert len(processes) == 3  # the server, what judges, what reads
    if how == "stdin":
        assert own_editor.process.stdin is not None
        own_editor.process.stdin.close()
    else:
        own_editor.process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
    assert all_gone(processes)
