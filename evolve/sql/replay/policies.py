"""Policies of row-level security: which a table has, by name."""

from __future__ import annotations

from dataclasses import replace

from evolve.sql.operations import AlterPolicy, CreatePolicy, DropPolicy
from evolve.sql.replay.edit import know, put
from evolve.sql.schema import Schema


def change(schema: Schema, operation: CreatePolicy | AlterPolicy | DropPolicy) -> None:
    table = know(schema, operation.table)
    found = schema.tables.get(table)
    if found is None:
        return
    match operation:
        case CreatePolicy(name=name):
            policies = found.policies if name in found.policies else (*found.policies, name)
        case AlterPolicy(name=name, to=to):
            policies = tuple(to if to and policy == name else policy for policy in found.policies)
        case DropPolicy(name=name):
            policies = tuple(policy for policy in found.policies if policy != name)
    put(schema, replace(found, policies=policies))
