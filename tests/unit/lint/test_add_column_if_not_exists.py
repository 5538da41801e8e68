"""ADD COLUMN IF NOT EXISTS of a column that is there does nothing, and nothing is said of it."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording


@pytest.mark.parametrize(
    "column",
    [
        "note text NOT NULL",
        "note percent",
        "note uuid DEFAULT gen_random_uuid()",
        "note json",
        "id bigserial",
        "id bigint GENERATED ALWAYS AS IDENTITY",
        "total numeric GENERATED ALWAYS AS (1 * 2) STORED",
        "total numeric CHECK (total > 0)",
        "email text UNIQUE",
        "user_id bigint NOT NULL DEFAULT 1 REFERENCES users",
    ],
)
def test_a_column_that_is_there_is_not_added(column: str) -> None:
    assert names(judge(recording("r", f"ALTER TABLE orders ADD COLUMN IF NOT EXISTS {column}"))) == []
