"""Changes that the code must be ready for: it is deployed first, and one statement follows when the old is gone."""

from __future__ import annotations

from evolve.plan.model import OLD_CODE_GONE, Part, Phase, Word


def code_first(
    part: Part, *, deploy: str, ready: str, done: str, undo_loses: str | None = None
) -> tuple[Phase, Phase, Phase]:
    """Expand without a statement, switch, and contract with `part`.

    Args:
        deploy: what code has to be deployed, one sentence.
        ready: what all running code then does, which somebody has to confirm.
        done: what is true when the statement has run.
        undo_loses: what going back from it would lose.
    """
    return (
        Phase(
            "expand",
            "nothing has changed yet: the code comes first",
            instructions=("Code that runs now goes on as it is.",),
            go_back="nothing has changed",
        ),
        Phase("switch", ready, instructions=(deploy,), go_back="deploy the old code again"),
        Phase(
            "contract",
            done,
            (part,),
            gates=(Word(OLD_CODE_GONE, ready),),
            go_back="downgrade the contract revision",
            undo_loses=undo_loses,
        ),
    )
