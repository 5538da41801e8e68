"""The DO block of a gate, as text; that it works is tested on a server."""

from __future__ import annotations

import pytest

from evolve.plan.gate_sql import MARKER, Conditions, Fill, gate_block
from evolve.sql.names import BadName
from evolve.sql.operations import Other
from evolve.sql.parse import GATE_COMMENT, GATE_KIND, parse


def test_the_reader_of_sql_knows_it() -> None:
    assert MARKER == GATE_COMMENT
    assert parse(gate_block("x", Conditions(no_rows=("t WHERE a",)))) == (Other(GATE_KIND),)


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(no_rows=("t WHERE a = '$evolve$'", "t WHERE b -- a comment")),
        Conditions(validated=('"odd name".c', 'app.t."its"')),
        Conditions(valid_indexes=('"I"', "app.i"), enabled_triggers=("t.trigger",)),
        Conditions(phase="contract", unmapped=('t."$evolve$ its \\:a %s"', '"T".*')),
        Conditions(fill=(Fill("t", "a = '$evolve1$' || '$evolve$'", "a IS NULL -- no more"),)),
    ],
)
def test_nothing_in_its_conditions_ends_it_early(conditions: Conditions) -> None:
    assert parse(gate_block("x", conditions)) == (Other(GATE_KIND),)


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(BadName):
        gate_block("x", Conditions(validated=("t.c; DROP TABLE t",)))


def test_without_conditions_there_is_none() -> None:
    assert not Conditions()
