"""Rules about policies, privileges and superuser statements."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.security.change_policy import ChangePolicy
from evolve.lint.rules.security.drop_policy import DropPolicy
from evolve.lint.rules.security.grant import Grant
from evolve.lint.rules.security.policy_always_true import PolicyAlwaysTrue
from evolve.lint.rules.security.revoke import Revoke
from evolve.lint.rules.security.rls_disable import RlsDisable
from evolve.lint.rules.security.rls_enable import RlsEnable
from evolve.lint.rules.security.rls_no_policy import RlsNoPolicy
from evolve.lint.rules.security.security_definer_search_path import SecurityDefinerSearchPath
from evolve.lint.rules.security.superuser_statement import SuperuserStatement

RULES: tuple[Rule, ...] = (
    ChangePolicy(),
    DropPolicy(),
    Grant(),
    PolicyAlwaysTrue(),
    Revoke(),
    RlsDisable(),
    RlsEnable(),
    RlsNoPolicy(),
    SecurityDefinerSearchPath(),
    SuperuserStatement(),
)
