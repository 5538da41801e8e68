"""Judges what revisions or files of SQL send, and takes away what comments and settings allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from evolve.config_table import place_of
from evolve.errors import Misuse
from evolve.lint import lookup
from evolve.lint.databases import databases
from evolve.lint.downgrades import check_downgrades
from evolve.lint.engine import INCOMPLETE, Checking, Result, check
from evolve.lint.facts import Facts
from evolve.lint.history import NEWEST_SUPPORTED, OLDEST_SUPPORTED
from evolve.lint.model import BaselineUsed, FactsUsed, Finding, Report
from evolve.lint.rule import Rule
from evolve.lint.severities import severities
from evolve.lint.sizes import unknown_tables
from evolve.lint.suppress import Judged, Silences, suppress
from evolve.lint.thresholds import Thresholds
from evolve.lint.verdict import assess
from evolve.lint.verdict import judge as judge_rollout
from evolve.lint.versions import worst, worst_findings
from evolve.revisions.models import Releases
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Recording

if TYPE_CHECKING:
    from evolve.app.lint_revisions import Options


class FactsOfAnotherDatabase(Misuse):
    def __init__(self, unknown: Sequence[QualifiedName], asked: int) -> None:
        names = ", ".join(f'"{name.plain}"' for name in unknown[:3])
        super().__init__(
            f"the facts know {asked - len(unknown)} of the {asked} tables that the revisions use; not {names}"
            + (" and others" if len(unknown) > 3 else ""),
            why="they are of another database or schema, and its sizes say nothing about this one",
            fix="export them from the database that these revisions are for: evolve facts export --database-url …",
        )


class Ahead:
    """Judges recordings one by one while others are still read: from the base on, each as if all before it were in use.

    Args:
        judged, options, rules: as those of `judge`, which raises the same.
    """

    def __init__(self, judged: Collection[str], options: Options, rules: Sequence[Rule]) -> None:
        _refuse_unknown_rules(options, rules)
        asked = lookup.asked(rules, options.enable)
        self._judged = judged
        self._taken: list[Recording] = []
        self._checking = {
            version: Checking(
                asked,
                judged=judged,
                postgres_version=version,
                together=False,
                facts=options.facts,
                thresholds=options.sizes,
                required_columns=options.required_columns,
                premade=options.premade,
            )
            for version in options.postgres_versions or (options.postgres_version,)
        }

    def take(self, recording: Recording) -> None:
        """Judge what comes next; nothing any more where it says that there are several databases."""
        if not databases([recording]):
            self._taken.append(recording)
            for checking in self._checking.values():
                checking.take(recording)

    def results(self, recordings: Sequence[Recording], judged: Collection[str]) -> dict[int, Result] | None:
        """Of each version; None where what it was given is not what was recorded in the end. Asked once."""
        if list(recordings) != self._taken or judged != self._judged:
            return None
        return {version: checking.result() for version, checking in self._checking.items()}


def judge(
    recordings: Sequence[Recording],
    judged: Collection[str],
    sources: Mapping[Path, tuple[str, str]],
    options: Options,
    rules: Sequence[Rule],
    *,
    together: bool,
    clock: Callable[[], date],
    released: Collection[str] = (),
    window: Sequence[str] = (),
    releases: Releases | None = None,
    schema: Schema | None = None,
    downgrades: Mapping[str, Recording] = MappingProxyType({}),
    files: Mapping[str, Path] = MappingProxyType({}),
    roots: tuple[Path, ...] = (),
    ahead: Ahead | None = None,
) -> Report:
    """Judge those of `recordings` that are asked about, and take away what `sources` and settings allow.

    Args:
        recordings: in the order in which they are applied.
        judged: ids of those that are asked about.
        sources: revision id and text of each of their files.
        together: they reach the database in one rollout.
        released: ids of those that were there before, and were changed: what they make is in use.
        window: ids of the revisions that every release among them must survive.
        releases: the models of the releases before and after them.
        schema: before the first of `recordings`; empty unless given.
        downgrades: what revisions send on the way back, by their ids.
        files: all revisions that there are, by their ids, as far as that is known.
        roots: folders from which the globs of the settings may start.
        ahead: has judged them already, as if all before each were in use; it counts where that is what is asked.

    Raises:
        UnknownRule: `options` names a rule that there is not.
        TwoSeverities: they make one rule of two severities.
    """
    schema = schema if schema is not None else Schema()
    _refuse_unknown_rules(options, rules)
    asked = lookup.asked(rules, options.enable)
    versions = options.postgres_versions or (options.postgres_version,)
    order = [recording.revision for recording in recordings]

    def checked(version: int) -> Result:
        return check(
            recordings,
            asked,
            judged=judged,
            schema=schema.copy(),
            postgres_version=version,
            together=together,
            released=released,
            old_models=releases.old if releases is not None else None,
            new_models=releases.new if releases is not None else None,
            facts=options.facts,
            thresholds=options.sizes,
            required_columns=options.required_columns,
            premade=options.premade,
        )

    def way_back(version: int) -> Sequence[Finding]:
        return check_downgrades(
            recordings,
            {revision: sent for revision, sent in downgrades.items() if revision in judged},
            asked,
            schema=schema.copy(),
            postgres_version=version,
            facts=options.facts,
            thresholds=options.sizes,
        )

    results = None
    if ahead is not None and not together and (releases is None or releases == Releases()):
        results = ahead.results(recordings, judged)
    result = worst(results or {version: checked(version) for version in versions}, order)
    facts_used = _facts_used(options.facts, options.sizes, result.in_use, clock()) if options.facts else None
    back = worst_findings({version: way_back(version) for version in versions}, order)

    def alone(version: int, revisions: Collection[str] = judged) -> Result:
        return check(
            recordings,
            asked,
            judged=revisions,
            schema=schema.copy(),
            postgres_version=version,
            together=False,
        )

    def otherwise() -> tuple[Finding, ...]:
        every = range(OLDEST_SUPPORTED, NEWEST_SUPPORTED + 1)
        found: list[Sequence[Finding]] = [
            checked(version).findings for version in every if version not in versions
        ]
        found += [way_back(version) for version in every]
        if together:
            found += [alone(version).findings for version in every]
        return worst_findings(dict(enumerate(found)), order)

    models_known = releases is not None and releases.old is not None and releases.new is not None
    left = suppress(
        (*result.findings, *back),
        rules,
        clock(),
        Judged(
            sources,
            [rule for rule in asked if not rule.needs_models or models_known],
            {
                recording.revision: (*recording.statements, *_sent(downgrades.get(recording.revision)))
                for recording in recordings
                if recording.revision in judged
            },
            incomplete={recording.revision for recording in recordings if _stopped(recording)},
            downgrades=options.downgrades,
            otherwise=otherwise,
            files=files,
            roots=roots,
        ),
        Silences(
            frozenset[str]().union(*(lookup.meant(word, rules) for word in options.ignore)),
            options.allow,
            severities(options.severity, rules),
            options.imported,
            options.import_from,
            options.baseline,
        ),
    )
    over_window = None
    if window:
        of_window = worst({version: alone(version, window) for version in versions}, order)
        over_window = judge_rollout(window, of_window.findings, of_window.needs)
    compatibility = assess(
        [recording.revision for recording in recordings if recording.revision in judged],
        result,
        together=together,
        window=over_window,
        models=(releases.old, releases.new) if releases is not None else (None, None),
        models_sought=releases is not None and releases.sought,
        models_unread=releases.unread if releases is not None else (),
    )
    verification = None
    if options.verify:
        # Only this question needs a server.
        from evolve.app.verify_revisions import verify

        verification = verify(recordings, judged, asked, together=together)
    return Report(
        left.findings,
        left.suppressed,
        result.coverage,
        compatibility,
        facts_used,
        verification,
        files=tuple((each.revision, each.file) for each in recordings if each.revision in judged),
        baseline=BaselineUsed(options.baseline, left.gone) if options.baseline is not None else None,
    )


def _refuse_unknown_rules(options: Options, rules: Sequence[Rule]) -> None:
    """
    Raises:
        UnknownRule: it names the line of the settings, or the option, and the nearest rule.
    """
    words = [
        *(("lint.ignore", word) for word in options.ignore),
        *(("lint.enable", word) for word in options.enable),
        *((f"lint.severity.{setting.word}", setting.word) for setting in options.severity),
        *(
            (f"lint.allow[{number}].rules", word)
            for number, entry in enumerate(options.allow, 1)
            for word in entry.rules
        ),
    ]
    for key, word in words:
        try:
            lookup.meant(word, rules)
        except lookup.UnknownRule:
            place = key
            if key == "lint.enable" and word in options.enable_here:
                place = "--enable"
            elif options.settings is not None:
                place = f"{place_of(options.settings, key, word)}: {key}"
            nearest = lookup.nearest(word, lookup.by_word(rules))
            raise lookup.UnknownRule(word, nearest, place) from None


def _sent(downgrade: Recording | None) -> tuple[CapturedStatement, ...]:
    return downgrade.statements if downgrade is not None else ()


def _stopped(recording: Recording) -> bool:
    return any(remark.mark in INCOMPLETE for remark in recording.remarks)


def _facts_used(facts: Facts, sizes: Thresholds, in_use: Collection[QualifiedName], day: date) -> FactsUsed:
    """
    Raises:
        FactsOfAnotherDatabase: they know less than half of the tables that the revisions use.
    """
    unknown = unknown_tables(in_use, facts)
    asked = [name for name in in_use if facts.schemas is None or name.schema in facts.schemas]
    if len(unknown) * 2 > len(asked):
        raise FactsOfAnotherDatabase(unknown, len(asked))
    age = max((day - facts.taken.date()).days, 0)
    return FactsUsed(facts.taken.date(), age, age > sizes.days, facts.server_version, unknown)
