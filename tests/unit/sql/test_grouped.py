"""What is found by its group is what a look at everything finds, in the same order, whatever happened before."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from support.histories import Generator

from evolve.sql.grouped import Grouped
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse, sequences_in
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

LETTERS = [QualifiedName(letter) for letter in "abcdef"]


def letters(value: str) -> Sequence[str]:
    return value


@pytest.mark.parametrize("seed", range(20))
def test_groups_follow_every_change(seed: int) -> None:
    dice = random.Random(seed)
    grouped, plain = Grouped[str](letters), dict[QualifiedName, str]()
    for step in range(200):
        name, value = dice.choice(LETTERS), "".join(dice.sample("xyz", dice.randrange(4)))
        match dice.randrange(8):
            case 0:
                grouped.pop(name)
                plain.pop(name, None)
            case 1 if name in plain:
                del grouped[name], plain[name]
            case 2:
                assert grouped.setdefault(name, value) == plain.setdefault(name, value)
            case 3 if name in plain:
                new = dice.choice([name, *(other for other in LETTERS if other not in plain)])
                grouped.rekey(name, new, value)
                plain = {new if k == name else k: value if k == name else v for k, v in plain.items()}
            case 4:
                grouped = grouped.copy()
            case 5:
                grouped.update({name: value})
                plain.update({name: value})
            case 6 if step % 10 == 0:
                grouped.clear()
                plain.clear()
            case _:
                grouped[name] = value
                plain[name] = value
        assert list(grouped.items()) == list(plain.items())
        for letter in "xyz":
            assert grouped.group(letter) == [found for found in plain.values() if letter in found]


def test_a_copy_goes_its_own_way() -> None:
    grouped = Grouped[str](letters, {LETTERS[0]: "x"})
    assert grouped.group("x") == ["x"]
    grouped.copy()[LETTERS[0]] = "y"
    assert grouped.group("x") == ["x"]


@pytest.mark.parametrize("seed", range(6))
def test_questions_about_a_schema_are_answered_as_by_looking_at_everything(seed: int) -> None:
    dice = random.Random(seed)
    schema = Schema()
    generator = Generator(lambda options: options[dice.randrange(len(options))], schema)
    for _ in range(60):
        for operation in parse(generator.next() or "SELECT 1"):
            apply(schema, operation)
        hold(schema)


def hold(schema: Schema) -> None:
    tables, indexes = list(schema.tables.values()), list(schema.indexes.values())
    views, sequences = list(schema.views.values()), list(schema.sequences.values())
    for name in (*schema.tables, *schema.views, QualifiedName("nothing")):
        assert list(schema.indexes_of(name)) == [i for i in indexes if i.definition.table == name]
        assert list(schema.partitions_of(name)) == [t for t in tables if t.partition_of == name]
        children = [t for t in tables if t.partition_of == name or name in t.inherits]
        assert list(schema.children_of(name)) == children
        keys = [(t, key) for t in tables for key in t.foreign_keys if key.target == name]
        assert list(schema.foreign_keys_to(name)) == keys
        assert list(schema.views_reading(name)) == [v for v in views if name in v.reads]
        assert list(schema.sequences_of(name)) == [
            s for s in sequences if s.owned_by and s.owned_by[0] == name
        ]
    for table in tables:
        for column in table.columns:
            using = [v for v in views if (table.name, column.name) in v.uses]
            assert list(schema.views_using(table.name, column.name)) == using
            owned = [s for s in sequences if s.owned_by == (table.name, column.name)]
            assert list(schema.sequences_of(table.name, column.name)) == owned
            for sequence in sequences_in(column.default) if column.default is not None else ():
                assert table in schema.tables_drawing_from(sequence)
            assert schema.is_enum(column.type) == any(str(enum) == column.type for enum in schema.enums)
            domain = next((d for d in schema.domains.values() if str(d.name) == column.type), None)
            assert schema.domain(column.type) == domain
    for index in indexes:
        parts = [i for i in indexes if i.partition_of == index.name]
        assert list(schema.parts_of_index(index.name)) == parts
