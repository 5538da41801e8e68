"""What a sequence is made of, for another one that is to take its place."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.plan.facts import SequenceFacts
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.statements import Statement

_BOUNDS = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}


def options(sequence: SequenceFacts) -> str:
    """How it counts, for CREATE SEQUENCE and GENERATED AS IDENTITY; bounds that its type brings are left out."""
    low, high = _BOUNDS.get(sequence.type, (None, None))
    rising = sequence.increment > 0
    said = [f"START WITH {sequence.start}", f"INCREMENT BY {sequence.increment}"]
    if sequence.minimum is not None and sequence.minimum != (1 if rising else low):
        said.append(f"MINVALUE {sequence.minimum}")
    if sequence.maximum is not None and sequence.maximum != (high if rising else -1):
        said.append(f"MAXVALUE {sequence.maximum}")
    if sequence.cache != 1:
        said.append(f"CACHE {sequence.cache}")
    if sequence.cycle:
        said.append("CYCLE")
    return " ".join(said)


def go_on_from(sequence: QualifiedName, other: QualifiedName) -> Statement:
    """Let `sequence` give the number that `other` would give next; both must be locked by the transaction."""
    return Statement(
        f"SELECT setval({literal(sequence.full).strip()}, last_value, is_called) FROM {other}",  # noqa: S608
        None,
        "it goes on where the other stopped; nobody can draw a number in between",
    )


def hold(sequence: SequenceFacts) -> Statement:
    """Keep everybody from drawing a number until COMMIT."""
    return Statement(
        f"ALTER SEQUENCE {sequence.name} INCREMENT BY {sequence.increment}",
        LockMode.SHARE_ROW_EXCLUSIVE,
        "it changes nothing; its lock on the sequence keeps others from drawing a number until this commits",
    )


def grants(sequence: SequenceFacts, name: QualifiedName) -> Iterator[Statement]:
    """The privileges and the comment of `sequence`, for `name`."""
    for privilege, grantee, grantable in sequence.grants:
        to_whom = grantee if grantee == "PUBLIC" else quote(grantee)
        option = " WITH GRANT OPTION" if grantable else ""
        yield Statement(
            f"GRANT {privilege} ON SEQUENCE {name} TO {to_whom}{option}",
            None,
            "whoever could use the sequence still can",
        )
    if sequence.comment is not None:
        yield Statement(
            f"COMMENT ON SEQUENCE {name} IS {literal(sequence.comment).strip()}", None, "catalog only"
        )
