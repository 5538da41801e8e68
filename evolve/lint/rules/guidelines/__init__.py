"""Guidelines of style and design: opt-in."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.char_column import CharColumn
from evolve.lint.rules.guidelines.column_order_padding import ColumnOrderPadding
from evolve.lint.rules.guidelines.float_column import FloatColumn
from evolve.lint.rules.guidelines.hstore_column import HstoreColumn
from evolve.lint.rules.guidelines.integer_key import IntegerKey
from evolve.lint.rules.guidelines.money_column import MoneyColumn
from evolve.lint.rules.guidelines.name_is_keyword import NameIsKeyword
from evolve.lint.rules.guidelines.name_not_snake_case import NameNotSnakeCase
from evolve.lint.rules.guidelines.name_too_long import NameTooLong
from evolve.lint.rules.guidelines.name_without_schema import NameWithoutSchema
from evolve.lint.rules.guidelines.not_repeatable import NotRepeatable
from evolve.lint.rules.guidelines.nullable_boolean import NullableBoolean
from evolve.lint.rules.guidelines.numeric_without_precision import NumericWithoutPrecision
from evolve.lint.rules.guidelines.required_column_missing import RequiredColumnMissing
from evolve.lint.rules.guidelines.serial_column import SerialColumn
from evolve.lint.rules.guidelines.smallint_column import SmallintColumn
from evolve.lint.rules.guidelines.table_without_comment import TableWithoutComment
from evolve.lint.rules.guidelines.timestamp_without_time_zone import TimestampWithoutTimeZone
from evolve.lint.rules.guidelines.timetz_column import TimetzColumn
from evolve.lint.rules.guidelines.varchar_limit import VarcharLimit
from evolve.lint.rules.guidelines.xml_column import XmlColumn

RULES: tuple[Rule, ...] = (
    CharColumn(),
    ColumnOrderPadding(),
    FloatColumn(),
    HstoreColumn(),
    IntegerKey(),
    MoneyColumn(),
    NameIsKeyword(),
    NameNotSnakeCase(),
    NameTooLong(),
    NameWithoutSchema(),
    NotRepeatable(),
    NullableBoolean(),
    NumericWithoutPrecision(),
    RequiredColumnMissing(),
    SerialColumn(),
    SmallintColumn(),
    TableWithoutComment(),
    TimestampWithoutTimeZone(),
    TimetzColumn(),
    VarcharLimit(),
    XmlColumn(),
)
