"""Reads revisions, judges those that are asked about, and takes away what comments and settings allow."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, date, datetime
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from evolve.errors import Misuse
from evolve.lint.databases import databases
from evolve.lint.facts import Facts
from evolve.lint.model import Report
from evolve.lint.settings import AllowedBySetting, SeveritySetting
from evolve.lint.thresholds import Thresholds
from evolve.revisions.apart import Early
from evolve.revisions.default_branch import default_branch, why_unknown
from evolve.revisions.git import NotARepository, Repository, find_repository
from evolve.revisions.history import BrokenFile, History, RevisionFile, read_history
from evolve.revisions.models import Commit, Releases, commit_at, fork_from, read_releases, touches_tables
from evolve.revisions.project import Project
from evolve.revisions.read import Reading, record, record_downgrades, record_from
from evolve.revisions.select import Files, Range, Selection, Since, Unapplied, select
from evolve.revisions.source_remarks import history_remarks, source_remarks
from evolve.sql.schema import Schema
from evolve.sql.steps import Mark, Place, Recording, Remark
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.app.judge_recordings import Ahead
    from evolve.lint.baseline import Baseline
    from evolve.lint.rule import Rule
    from evolve.revisions.cache.store import Store

EVERYTHING = "base:heads"


class ReadModels(Protocol):
    """As `evolve.revisions.models.read_releases`."""

    def __call__(
        self, project: Project, places: Sequence[str], base: Path, commit: Commit | None, *, new: bool
    ) -> Releases: ...


class SeveralSelections(Misuse):
    def __init__(self, given: Sequence[str]) -> None:
        super().__init__(
            f"{' and '.join(given)} both say which revisions to check",
            fix="give one of them and leave out the other",
        )


class NoSuchFile(Misuse):
    def __init__(self, file: Path) -> None:
        what = "is a directory" if file.is_dir() else "is not there"
        super().__init__(f"{file} {what}", fix="name files of revisions, or a range such as base:heads")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about.

    Args:
        selection: which revisions.
        words: the same for a person: "revisions new since origin/main".
        together: they reach the database in one rollout; an old history does not.
        rollout: what reaches it with them, and is not asked about; findings on it are left out.
        repository: what is new was asked of; None where nobody asked.
    """

    selection: Selection
    words: str
    together: bool
    rollout: Selection | None = None
    repository: Repository | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to judge.

    Args:
        exclude: globs over files relative to the script directory, or ids: replayed, but not judged.
        ignore: rules that are never told of: ids, names, families such as "7xx", or "all".
        enable: opt-in rules that are asked too: ids, names, families such as "7xx", or "all".
        required_columns: those that the project wants every table to have.
        premade: tables that the settings name partitions ahead for.
        imported: ids of rules that ignore lists of other tools silence, with the words that say which.
        import_from: other tools whose comments in files of SQL count as well.
        postgres_version: the oldest major version that the revisions must run on.
        postgres_versions: several, each of which they must run on; `postgres_version` counts where it is empty.
        time_limit: seconds that reading one revision may take.
        facts: of the live database, which findings are weighed by.
        verify: run the statements on a scratch server as well.
        sizes: where its small tables end and its hot ones begin.
        window: how many revisions, up to the newest that is asked about, every release among them must survive.
        models: where the mapped classes are; what env.py imports where it is empty.
        models_from: the folder that their paths start from; the project's unless given.
        old_models: a git reference: the release that runs now. Without it, where the branch left the default branch.
        downgrades: judge each `downgrade()` as well.
        sandbox: let the kernel refuse what reading does not need.
        allow: findings that the settings allow, with their reasons.
        severity: how severe the settings make the findings of rules.
        baseline: findings that were there when linting began.
        settings: the file of `ignore`, `enable`, `allow` and `severity`.
        enable_here: those of `enable` that the command line names.
    """

    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    required_columns: tuple[str, ...] = ("id",)
    premade: frozenset[str] = frozenset()
    imported: Mapping[str, str] = field(default_factory=dict)
    import_from: tuple[str, ...] = ()
    postgres_version: int = 15
    time_limit: float = 10.0
    facts: Facts | None = None
    verify: bool = False
    sizes: Thresholds = field(default_factory=Thresholds)
    window: int = 0
    models: tuple[str, ...] = ()
    models_from: Path | None = None
    downgrades: bool = False
    sandbox: bool = False
    old_models: str | None = None
    allow: tuple[AllowedBySetting, ...] = ()
    severity: tuple[SeveritySetting, ...] = ()
    baseline: Baseline | None = None
    settings: Path | None = None
    enable_here: tuple[str, ...] = ()
    postgres_versions: tuple[int, ...] = ()


def today() -> date:
    return datetime.now(UTC).date()


def ask(
    project: Project,
    *,
    revisions: str | None = None,
    since: str | None = None,
    unapplied_on: str | None = None,
    files: Sequence[Path] = (),
) -> Question:
    """Turn what was typed into a question; without anything, what is new since the default branch.

    Args:
        project: whose repository is looked at.
        revisions: a range, or one revision.
        since: a git reference.
        unapplied_on: URL of the database whose version table says what is applied; "" is the one of libpq's variables.
        files: of revisions.

    Raises:
        SeveralSelections: more than one is given.
        NoSuchFile: one of `files` is not there.
        CannotConnect, BadUrl, CannotReadVersions: `unapplied_on` cannot be asked.
        NoDefaultBranch: nothing is given, and git does not know what is new.
        NotARepository: `since` is given, and there is none; and the causes of `find_repository`.
    """
    given = [
        name
        for name, value in (
            ("REVISIONS", revisions),
            ("files", files or None),
            ("--since", since),
            ("--unapplied", unapplied_on),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise SeveralSelections(given)
    if revisions is not None:
        whole = revisions.partition(":")[0].rpartition("@")[2] in ("", "base") and ":" in revisions
        return Question(Range(revisions), f"revisions {revisions}", together=not whole)
    if unapplied_on is not None:
        applied = _applied(project, unapplied_on)
        words = "revisions that the database lacks"
        if not applied:
            words += f": all of them, for its {project.version_table} has none"
        return Question(Unapplied(applied), words, together=True)
    repository = repository_of(project)
    if files:
        for file in files:
            if not file.is_file():
                raise NoSuchFile(file)
        chosen = Files(tuple(file.absolute() for file in files))
        words = f"{len(files)} file{'s' if len(files) > 1 else ''}"
        return Question(
            chosen, words, together=True, rollout=unreleased(project, repository), repository=repository
        )
    if since is not None and repository is None:
        raise NotARepository(project.root, "--since")
    reference = since if since is not None else default_branch(project, repository)
    if reference is None:
        words = f"all revisions, for {why_unknown(repository)}"
        return Question(Range(EVERYTHING), words, together=False)
    return Question(
        Since(reference), f"revisions new since {reference}", together=True, repository=repository
    )


def repository_of(project: Project) -> Repository | None:
    """The one that the revisions lie in."""
    return find_repository(next(iter(project.version_directories), project.root))


def unreleased(project: Project, repository: Repository | None) -> Since | None:
    """What the branch has added; None where git does not know."""
    try:
        branch = default_branch(project, repository) if repository is not None else None
        if branch is None or repository is None:
            return None
        repository.fork(branch)
    except Misuse:
        return None
    return Since(branch)


def lint(
    project: Project,
    question: Question,
    options: Options,
    rules: Sequence[Rule] | Callable[[], Sequence[Rule]],
    clock: Callable[[], date] = today,
    store: Store | None = None,
    releases: Releases | None = None,
    texts: Mapping[Path, bytes] = MappingProxyType({}),
    on_read: Callable[[Schema, Sequence[Recording]], None] = lambda *_: None,
    history: History | None = None,
    read_models: ReadModels = read_releases,
) -> Report:
    """Judge the revisions of `question` against all before them.

    Args:
        rules: those that there are, or what finds them: it is called while another process reads.
        releases: the models of the releases before and after; they are read where none are given.
        store: readings of earlier runs, which save most of the time that this one takes.
        texts: of files that are judged as if they held these.
        on_read: told the schema before the first revision that was read, and what each sends from there on.
        history: the project's, where the caller has read it already; what it says of `texts` holds.
        read_models: reads the models of the releases; whoever asks often keeps what it answers.

    Raises:
        UnknownRule: `options.ignore` or `options.enable` names none.
        Misuse: the causes of `History.resolve`, `History.between` and `select`: a name leads nowhere.
    """
    found: list[Sequence[Rule]] = []

    def prepare() -> Sequence[Rule]:
        # What judges takes as long to import as Alembic, which the process that reads imports by then.
        from evolve.app import judge_recordings  # noqa: F401

        if not found:
            found.append(rules() if callable(rules) else rules)
        return found[0]

    early = Early(project, options.time_limit)
    try:
        reading = _read(project, question, options, store, prepare, texts, history, early)
    finally:
        early.end()
    schema, recordings = reading.schema, reading.recordings
    on_read(schema, recordings)
    asked, together = reading.asked | reading.with_them, question.together and not reading.old
    prepare()
    from evolve.app.judge_recordings import judge

    back = _read_back(project, schema, recordings, asked, options, texts) if options.downgrades else {}
    wanted = [
        recording.revision
        for recording in recordings
        if not _excluded(project, recording.file, recording.revision, options.exclude)
    ]
    judged = asked.intersection(wanted)
    window = wanted[-options.window :] if options.window and judged else []
    sources = _sources((recording for recording in recordings if recording.revision in judged), texts)
    whole = replace(question, together=together)
    report = judge(
        recordings,
        judged,
        sources,
        options,
        found[0],
        together=together,
        released=reading.released,
        clock=clock,
        window=window,
        schema=schema,
        ahead=reading.ahead,
        downgrades=back,
        releases=releases
        or _releases(project, whole, options, recordings, judged, read_models, newest=reading.newest),
        files=reading.files,
        roots=roots_of(project, options),
    )
    return replace(_only(report, reading.asked), notes=tuple(dict.fromkeys(reading.notes)))


@dataclass(frozen=True, slots=True)
class _Reading:
    """
    Args:
        schema: before the first that is judged.
        recordings: from there on, in order; a file whose id cannot be read stands at the end, under its own name.
        asked: ids that are asked about.
        with_them: others that reach the database with those.
        released: ids of those that were there where the branch left, and are changed.
        old: the branch has not added all of them.
        newest: nothing comes after them.
        notes: for a person.
        files: all revisions that there are, by their ids.
        ahead: has judged them while they were read.
    """

    schema: Schema
    recordings: list[Recording]
    asked: frozenset[str]
    with_them: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()
    old: bool = False
    newest: bool = True
    notes: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    ahead: Ahead | None = None


def _read(
    project: Project,
    question: Question,
    options: Options,
    store: Store | None,
    prepare: Callable[[], Sequence[Rule]],
    texts: Mapping[Path, bytes],
    history: History | None,
    early: Early,
) -> _Reading:
    broken: list[BrokenFile] = []
    notes: list[str] = []
    if history is None:
        begin = early.begin if not options.sandbox else lambda: None
        history = _history(project, store, begin).with_texts(texts)
    files = {revision: file.path for revision, file in history.revisions.items()}
    repository = question.repository

    def chosen(selection: Selection, note: Callable[[str], None]) -> tuple[RevisionFile, ...]:
        return select(
            project,
            history,
            selection,
            on_broken=broken.append,
            on_note=note,
            compiling=False,
            repository=repository,
        )

    selected = chosen(question.selection, notes.append)
    named = {file.revision for file in selected}
    if not named and not broken:
        return _Reading(Schema(), [], frozenset(), notes=tuple(notes), files=files)
    with_them: frozenset[str] = frozenset()
    released = frozenset(file.revision for file in selected if file.was_there)
    if question.rollout is not None:
        unread = list(broken)
        rollout = {file.revision: file for file in chosen(question.rollout, lambda _: None)}
        with_them = frozenset(rollout)
        released = frozenset(key for key, file in rollout.items() if file.was_there)
        # Others know what the branch left, not its last commit.
        selected = tuple(replace(each, edited=_edited(rollout.get(each.revision))) for each in selected)
        broken = unread
        old = not named <= with_them
    else:
        old = isinstance(question.selection, Files) and not named.isdisjoint(history.bases)
    asked = named | with_them
    needed = history.order(history.ancestors(asked))
    wanted = [
        file.revision for file in needed if not _excluded(project, file.path, file.revision, options.exclude)
    ]
    used = asked.union(wanted[-options.window :] if options.window else ())
    first = next((place for place, file in enumerate(needed) if file.revision in used), len(needed))
    if options.verify:
        first = 0  # a server starts from nothing
    told: dict[str, tuple[Remark, ...]] = {}

    def look() -> None:
        """At the files themselves, which takes as long as some of what another process reads by then."""
        prepare()
        told.update((file.revision, _remarks(project, history, file, texts)) for file in selected)

    def complete(recording: Recording) -> Recording:
        return replace(recording, remarks=(*recording.remarks, *told.get(recording.revision, ())))

    ahead: Ahead | None = None

    def hear(recording: Recording) -> None:
        nonlocal ahead
        if ahead is None:
            from evolve.app.judge_recordings import Ahead

            ahead = Ahead(asked.intersection(wanted), options, prepare())
        ahead.take(complete(recording))

    # Only where nothing that counts comes later: the schema before the first, models of a rollout, files without an id.
    alone = not first and not broken and (old or not question.together)

    reading = record_from(
        project,
        needed,
        first,
        time_limit=options.time_limit,
        store=store,
        sandbox=options.sandbox,
        meanwhile=look,
        hear=hear if alone else lambda _: None,
        early=early,
    )
    if not told:  # all was known from earlier runs
        look()
    recordings = reading.recordings
    if first and databases(recordings):
        # Each has a schema of its own, which only its own statements from the base on tell.
        recordings = record(project, needed, time_limit=options.time_limit, sandbox=options.sandbox)
        reading = Reading(Schema(), recordings)
    recordings = [complete(each) for each in recordings]
    known = {file.path for file in needed}
    for file in broken:
        if file.path not in known:
            known.add(file.path)
            recordings.append(_unreadable(file))
            named.add(file.path.name)
    return _Reading(
        reading.schema,
        recordings,
        frozenset(named),
        with_them - named,
        released,
        old=old,
        newest=history.descendants(asked) <= asked,
        notes=tuple(notes),
        files=files,
        ahead=ahead,
    )


def _edited(file: RevisionFile | None) -> bool:
    return file is not None and file.edited


def roots_of(project: Project, options: Options) -> tuple[Path, ...]:
    """Where the globs of settings may start: the script directory, or the folder of the settings."""
    folder = options.settings.parent.resolve() if options.settings is not None else project.root
    return (project.script_directory, folder)


def _only(report: Report, revisions: Collection[str]) -> Report:
    """Without what is said of other revisions; what is said of settings has none."""
    kept = {*revisions, ""}
    return replace(
        report,
        findings=tuple(each for each in report.findings if each.revision in kept),
        suppressed=tuple(each for each in report.suppressed if each.finding.revision in kept),
    )


def _read_back(
    project: Project,
    schema: Schema,
    recordings: Sequence[Recording],
    asked: Collection[str],
    options: Options,
    texts: Mapping[Path, bytes],
) -> Mapping[str, Recording]:
    from evolve.sql.read import replay

    def after() -> Schema:
        found = schema.copy()
        for recording in recordings:
            replay(found, (statement.sql for statement in recording.statements))
        return found

    known = read_history(project).with_texts(texts).revisions
    ids = [each.revision for each in recordings if each.revision in asked]
    files = [known[revision] for revision in ids if revision in known]
    sent = record_downgrades(project, files, after, time_limit=options.time_limit, sandbox=options.sandbox)
    return {recording.revision: recording for recording in sent}


def _releases(
    project: Project,
    question: Question,
    options: Options,
    recordings: Sequence[Recording],
    judged: Collection[str],
    read_models: ReadModels,
    *,
    newest: bool,
) -> Releases:
    """The models of the releases before and after the judged revisions, where those can be told.

    The one before is what `options` names, or else the commit where HEAD left the default branch, as long as none of
    the revisions was there yet. The working tree is the one after, unless there are newer revisions.
    """
    asked = [recording for recording in recordings if recording.revision in judged]
    if not question.together or not touches_tables(asked):
        return Releases()
    if options.old_models:
        commit: Commit | None = commit_at(project, options.old_models, _around(project, question))
    else:
        commit = _fork(project, question)
    if commit is not None and not options.old_models and not all(commit.lacks(each.file) for each in asked):
        commit = None
    return read_models(project, options.models, options.models_from or project.root, commit, new=newest)


def _fork(project: Project, question: Question) -> Commit | None:
    """None where git does not know; then no models of the release before are."""
    try:
        repository = _around(project, question) or find_repository(project.root)
        if repository is None:
            return None
        since = question.rollout or question.selection
        branch = since.reference if isinstance(since, Since) else default_branch(project, repository)
        return fork_from(repository, branch) if branch is not None else None
    except Misuse:
        return None


def _around(project: Project, question: Question) -> Repository | None:
    """The repository of the application, which need not be that of its revisions."""
    known = question.repository
    return known if known is not None and known.holds(project.root) else None


def _remarks(
    project: Project, history: History, file: RevisionFile, texts: Mapping[Path, bytes]
) -> tuple[Remark, ...]:
    text = _source(file.path, texts)
    roots = (project.root, *project.source_paths)
    if text is None:
        return ()
    return (*source_remarks(file.path, text, roots), *history_remarks(history, file, text))


def _history(project: Project, store: Store | None, on_first: Callable[[], object]) -> History:
    """
    Args:
        on_first: called before any file is read, where no reading of an earlier run will be of use.
    """
    if store is None:
        on_first()
        return read_history(project)
    from evolve.revisions.cache.declared import read_history_through

    return read_history_through(project, store, on_first)


def _unreadable(file: BrokenFile) -> Recording:
    remark = Remark(Mark.NOT_LOADED, Place(file.path, file.line), file.reason)
    return Recording(file.path.name, (), file.path, (), (remark,))


def _applied(project: Project, url: str) -> tuple[str, ...]:
    # A driver takes a while to import, and only this question needs one.
    from evolve.postgres.connect import connect
    from evolve.postgres.stamps import applied_heads

    with connect(url, application_name="evolve lint") as connection:
        return tuple(sorted(applied_heads(connection, project.version_table, project.version_table_schema)))


def _excluded(project: Project, file: Path, revision: str, patterns: Collection[str]) -> bool:
    if not patterns:
        return False
    inside = file.is_relative_to(project.script_directory)
    path = file.relative_to(project.script_directory).as_posix() if inside else file.as_posix()
    return any(pattern == revision or fnmatch(path, pattern) for pattern in patterns)


def _sources(recordings: Iterable[Recording], texts: Mapping[Path, bytes]) -> Mapping[Path, tuple[str, str]]:
    """Revision id and text of each file; one that is no text holds no comments."""
    found = {recording.file: (recording.revision, _source(recording.file, texts)) for recording in recordings}
    return {file: (revision, text) for file, (revision, text) in found.items() if text is not None}


def _source(file: Path, texts: Mapping[Path, bytes]) -> str | None:
    try:
        raw = texts[file] if file in texts else file.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return io.TextIOWrapper(io.BytesIO(raw), encoding).read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
