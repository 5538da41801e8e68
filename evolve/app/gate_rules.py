"""What a project's settings ask of its gates."""

from __future__ import annotations

from evolve.config import Config
from evolve.plan.gates import Rules


def gate_rules(config: Config) -> Rules:
    """
    Raises:
        MissingVariable: the URL of a replica names a variable of the environment that is not set.
    """
    gates = config.gates
    return Rules(
        gates.regret_window,
        gates.statements,
        gates.statement_window,
        tuple(config.resolved(url, "gates.replicas") for url in gates.replicas),
        gates.standbys_without_reads,
        registry=gates.registry,
        verdict_age=gates.verdict_age,
    )
