"""`evolve lsp`: findings, pages of rules and fixes while a revision is written, over the Language Server Protocol."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from evolve import __version__
from evolve.lsp.desk import Desk, Document, Judged
from evolve.lsp.messages import Mend, Note, RulePage
from evolve.lsp.positions import Positions
from evolve.lsp.remote import Remote

FIX_ALL = "source.fixAll.evolve"

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "info": types.DiagnosticSeverity.Information,
}
_ALLOW = re.compile(r"evolve\s*:\s*allow(?:-file)?\s*\[(?P<names>[^\]]*)(?P<close>\]?)", re.IGNORECASE)
_NAME = re.compile(r"[\w-]+")
# What decides how revisions are judged, and is seldom open in the editor.
_WATCHED = ("**/pyproject.toml", "**/evolve.toml", "**/alembic.ini", "**/env.py", "**/evolve-baseline.jsonl")


class Server(LanguageServer):
    """What the editor talks to; it judges nothing itself."""

    def __init__(self, remote: Remote) -> None:
        # Whole texts: they are short, and nobody has to agree on columns.
        super().__init__("evolve", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)
        self.remote = remote
        self.desk = Desk(remote, self.publish, self.log, self.tell)
        self.left = False
        self._logged = ""

    def report_server_error(self, error: Exception, source: object) -> None:
        """A fault is for the log; a message for each key would only be in the way."""
        del source
        self.log(f"{type(error).__name__}: {error}")

    def log(self, words: str) -> None:
        if words != self._logged:
            self._logged = words
            self.window_log_message(types.LogMessageParams(types.MessageType.Warning, words))

    def tell(self, words: str) -> None:
        self.window_show_message(types.ShowMessageParams(types.MessageType.Warning, words))

    def publish(self, uri: str, judged: Judged) -> None:
        found = [diagnostic for _, diagnostic in self.diagnostics(judged)]
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri, found, judged.document.version)
        )

    def positions(self, text: str) -> Positions:
        return Positions(text, self.workspace.position_codec)

    def diagnostics(self, judged: Judged) -> Iterator[tuple[Note, types.Diagnostic]]:
        positions = self.positions(judged.document.text)
        for note in judged.answer.notes:
            yield (
                note,
                types.Diagnostic(
                    range=positions.range(note.start, note.end),
                    message=note.message,
                    severity=_SEVERITIES[note.severity],
                    code=note.code or None,
                    code_description=types.CodeDescription(note.link) if note.link else None,
                    source="evolve",
                ),
            )

    def edit(self, uri: str, document: Document, mend: Mend) -> types.WorkspaceEdit:
        positions = self.positions(document.text)
        edits = [
            types.TextEdit(positions.range(change.start, change.end), change.text) for change in mend.changes
        ]
        workspace = self.client_capabilities.workspace
        told = workspace.workspace_edit if workspace is not None else None
        if told is None or not told.document_changes:
            return types.WorkspaceEdit(changes={uri: edits})
        # With its version: an editor refuses what was made for another text.
        identifier = types.OptionalVersionedTextDocumentIdentifier(uri, document.version)
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(identifier, edits)])

    def named(self, text: str, position: types.Position) -> list[RulePage]:
        """The rules that a comment at `position` allows: the one there, or else all."""
        positions = self.positions(text)
        line, column = positions.line(position.line), positions.column(position)
        pages = {word: rule for rule in self.desk.rules for word in (rule.code.lower(), rule.name)}
        found: list[RulePage] = []
        for comment in _ALLOW.finditer(line):
            for name in _NAME.finditer(comment["names"]):
                rule = pages.get(name.group().lower())
                start = comment.start("names") + name.start()
                if rule is not None and start <= column <= start + len(name.group()):
                    return [rule]
                found += [rule] if rule is not None else []
        return found


def run(arguments: Sequence[str] = ()) -> bool:
    """Serve over standard input and output until either ends; whether the editor said before that it would leave.

    Args:
        arguments: of the process that judges.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(
            number, signal.SIG_DFL
        )  # nothing is to be put away; the other process ends with this one
    remote = Remote(arguments)
    server = make(remote)
    out = os.fdopen(os.dup(1), "wb")  # closed when the editor leaves
    os.dup2(2, 1)  # what is printed by mistake is no message
    try:
        server.start_io(stdout=out)
    finally:
        remote.kill()
    return server.left


def make(remote: Remote) -> Server:
    """A server that knows what to do with what an editor says."""
    server = Server(remote)
    _follow_texts(server)
    _answer_questions(server)
    return server


def _follow_texts(server: Server) -> None:
    @server.feature(types.INITIALIZED)
    def _(ls: Server, params: types.InitializedParams) -> None:
        del params
        workspace = ls.client_capabilities.workspace
        watching = workspace.did_change_watched_files if workspace is not None else None
        if watching is not None and watching.dynamic_registration:
            watchers = [types.FileSystemWatcher(pattern) for pattern in _WATCHED]
            options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
            registration = types.Registration("watched", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
            ls.client_register_capability(types.RegistrationParams([registration]))

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def _(ls: Server, params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        path = to_fs_path(document.uri)
        if path is not None and path.endswith(".py"):
            ls.desk.opened(document.uri, Document(path, document.text, document.version))

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def _(ls: Server, params: types.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        ls.desk.changed(uri, ls.workspace.get_text_document(uri).source, params.text_document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def _(ls: Server, params: types.DidSaveTextDocumentParams) -> None:
        ls.desk.saved(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def _(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        ls.desk.closed(uri)
        ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def _(ls: Server, params: types.DidChangeWatchedFilesParams) -> None:
        del params
        ls.desk.all_anew()

    @server.feature(types.SHUTDOWN)
    async def _(ls: Server, params: None) -> None:
        del params
        ls.left = True
        await ls.remote.close()


def _answer_questions(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def _(ls: Server, params: types.HoverParams) -> types.Hover | None:
        return await _hover(ls, params)

    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION,
        types.CodeActionOptions([types.CodeActionKind.QuickFix, FIX_ALL], resolve_provider=True),
    )
    async def _(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
        return await _actions(ls, params)

    @server.feature(types.CODE_ACTION_RESOLVE)
    async def _(ls: Server, params: types.CodeAction) -> types.CodeAction:
        found = await ls.desk.mended(str(params.data)) if params.kind == FIX_ALL else None
        if found is not None:
            params.edit = ls.edit(str(params.data), *found)
        return params

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["[", ",", " "])
    )
    def _(ls: Server, params: types.CompletionParams) -> list[types.CompletionItem]:
        text = ls.workspace.get_text_document(params.text_document.uri).source
        positions = ls.positions(text)
        before = positions.line(params.position.line)[: positions.column(params.position)]
        comment = _ALLOW.search(before)
        if comment is None or comment["close"]:
            return []
        kind = types.CompletionItemKind.Value
        return [
            types.CompletionItem(rule.name, kind=kind, detail=f"{rule.code}: {rule.title}")
            for rule in ls.desk.rules
        ]


async def _hover(ls: Server, params: types.HoverParams) -> types.Hover | None:
    uri, line = params.text_document.uri, params.position.line
    judged = await ls.desk.judged(uri)
    if judged is None or not judged.answer.is_revision:
        return None
    allowed = ls.named(judged.document.text, params.position)
    if allowed:
        return _shown((Path(rule.page) for rule in allowed), [], None)
    there = [
        (note, diagnostic)
        for note, diagnostic in ls.diagnostics(judged)
        if diagnostic.range.start.line <= line <= diagnostic.range.end.line
    ]
    if not there:
        return None
    pages = dict.fromkeys(Path(note.page) for note, _ in there if note.page)
    return _shown(pages, [note.details for note, _ in there], there[0][1].range)


def _shown(pages: Iterable[Path], details: Sequence[str], where: types.Range | None) -> types.Hover:
    texts = [page.read_text(encoding="utf-8") for page in pages if page.is_file()]
    words = "\n\n---\n\n".join((*details, *texts))
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, words), where)


async def _actions(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
    uri, only = params.text_document.uri, params.context.only
    judged = await ls.desk.judged(uri)
    if judged is None:
        return []
    found: list[types.CodeAction] = []
    if _wanted(types.CodeActionKind.QuickFix, only):
        for note, diagnostic in ls.diagnostics(judged):
            if _meet(diagnostic.range, params.range):
                found += _quick(ls, uri, judged.document, note, diagnostic)
    if _wanted(FIX_ALL, only) and any(note.mend for note in judged.answer.notes):
        action = types.CodeAction("Mend all that is sure (evolve)", kind=FIX_ALL, data=uri)
        if _resolves(ls.client_capabilities):
            found.append(action)
        elif only is not None and (mended := await ls.desk.mended(uri)) is not None:
            action.edit = ls.edit(uri, *mended)
            found.append(action)
    return found


def _quick(
    ls: Server, uri: str, document: Document, note: Note, diagnostic: types.Diagnostic
) -> Iterator[types.CodeAction]:
    for mend, preferred in ((note.mend, True), (note.allow, False)):
        if mend is not None:
            yield types.CodeAction(
                mend.title,
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[diagnostic],
                is_preferred=preferred,
                edit=ls.edit(uri, document, mend),
            )


def _wanted(kind: str, only: Sequence[str] | None) -> bool:
    return only is None or any(kind == each or kind.startswith(f"{each}.") for each in only)


def _meet(one: types.Range, other: types.Range) -> bool:
    return one.start.line <= other.end.line and other.start.line <= one.end.line


def _resolves(client: types.ClientCapabilities) -> bool:
    """Whether the editor asks for the edit of an action only when that is chosen."""
    document = client.text_document
    actions = document.code_action if document is not None else None
    resolving = actions.resolve_support if actions is not None else None
    return bool(
        actions is not None
        and actions.data_support
        and resolving is not None
        and "edit" in resolving.properties
    )
