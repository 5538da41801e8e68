"""Which functions give another value for each row: their use as a default makes ADD COLUMN rewrite the table."""

from __future__ import annotations

from collections.abc import Mapping

from evolve.sql.names import QualifiedName
from evolve.sql.operations import Body, Expression

# Known to be volatile: those of pg_catalog, pgcrypto and uuid-ossp that stand in defaults.
VOLATILE = frozenset(
    """
    clock_timestamp currval gen_random_bytes gen_random_uuid gen_salt lastval nextval pg_sleep random random_normal
    setseed setval timeofday uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7
    """.split()  # noqa: SIM905 - a list of quoted words is no easier to read
)

# Stable or immutable ones that are common in defaults and checks.
NOT_VOLATILE = frozenset(
    """
    abs age array_append array_cat array_length array_position array_remove array_to_string arraycontains ascii
    btrim cardinality ceil ceiling char_length character_length chr concat concat_ws convert_from convert_to
    current_catalog current_database current_date current_role current_schema current_setting current_time
    current_timestamp current_user date date_bin date_part date_trunc decode div encode exp extract float8 floor
    format greatest hashtext initcap int4 int8 int4range int8range isfinite jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_typeof json_array_length json_build_array json_build_object json_typeof least left
    length ln localtime localtimestamp log lower lower_inc lpad ltrim make_date make_interval make_time
    make_timestamp make_timestamptz md5 mod now num_nonnulls num_nulls numeric numrange octet_length overlay
    pg_column_size position power quote_ident quote_literal regexp_count regexp_like regexp_match regexp_replace
    regexp_substr repeat replace reverse right round row_to_json rpad rtrim scale session_user sha224 sha256 sha384
    sha512 sign split_part sqrt starts_with statement_timestamp string_to_array strpos substr substring text
    timestamp timestamptz timezone to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector
    transaction_timestamp translate trim_array trunc tsrange tstzrange daterange upper upper_inc user uuid_nil
    uuid_ns_dns uuid_ns_url uuid_generate_v3 uuid_generate_v5 xmlconcat
    """.split()  # noqa: SIM905 - as above
)


def is_volatile(function: str, made: Mapping[QualifiedName, Body] | None = None) -> bool:
    """True for what is known to be volatile, and for what is not known: PostgreSQL's own default is VOLATILE.

    Args:
        made: functions of the history, with what it declares of them.
    """
    if function in NOT_VOLATILE:
        return False
    if function in VOLATILE or made is None:
        return True
    schema, _, name = function.rpartition(".")
    body = made.get(QualifiedName(name, schema or "public"))
    return body is None or body.volatile


def volatile_functions(
    expression: Expression | None, made: Mapping[QualifiedName, Body] | None = None
) -> tuple[str, ...]:
    """The functions of `expression` that are volatile, or may be."""
    if expression is None:
        return ()
    return tuple(function for function in expression.functions if is_volatile(function, made))
