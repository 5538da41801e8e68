"""How to judge revisions as the settings alone say it; what a command line adds comes on top."""

from __future__ import annotations

from pathlib import Path

from evolve.app.lint_revisions import Options
from evolve.config import Config
from evolve.lint.facts import read as read_facts


def options_of(config: Config, facts_file: Path | None = None) -> Options:
    """
    Args:
        facts_file: to weigh findings by, in the place of the one that the settings name.

    Raises what reading facts raises. Baselines and other tools' ignore lists are left to the caller.
    """
    settings, facts = config.lint, facts_file or config.lint.facts
    return Options(
        exclude=settings.exclude,
        ignore=settings.ignore,
        enable=settings.enable,
        required_columns=settings.required_columns,
        premade=frozenset(config.partition),
        import_from=settings.import_ignores,
        postgres_version=settings.postgres_version,
        postgres_versions=settings.postgres_versions,
        time_limit=settings.time_limit,
        facts=read_facts(facts) if facts else None,
        sizes=settings.sizes,
        window=settings.window,
        models=settings.models,
        models_from=config.file.parent if config.file else None,
        allow=settings.allow,
        severity=settings.severity,
        settings=config.file,
    )
