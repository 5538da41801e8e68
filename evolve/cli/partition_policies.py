"""The option --models of the commands that look after partitions: policies of the models count too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from evolve.cli.options import F, Location

if TYPE_CHECKING:
    from evolve.config import PartitionedTable


def models_option(command: F) -> F:
    """Add --models, as `models`."""
    return click.option(
        "--models",
        is_flag=True,
        help='Take what models say too: info={"evolve": {"partition": {"method": …}}}; env.py is run for it.',
    )(command)


def policies_of(location: Location, models: bool) -> Mapping[str, PartitionedTable]:
    config = location.config()
    if not models:
        return config.partition
    from evolve.app.partition_policies import policies_with_models

    return policies_with_models(location.project(config), config.partition)
