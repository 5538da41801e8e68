"""Random moves through a scene, forward, back and cut short, while clients of both versions are at work."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from evolve.postgres.scratch import Server
from evolve.testing.phase_harness.commands import Death
from evolve.testing.phase_harness.road import Road
from evolve.testing.phase_harness.scene import Scene


def fuzz(scene: Scene, server: Server, *, examples: int, steps: int = 15, each: int = 2) -> None:
    """Hold, after every move of a random walk, that no client failed, no record is lost, and no row diverges.

    A walk that fails is printed, and not made shorter: clients never do the same twice.

    Args:
        server: that makes a database for each walk.
        examples: walks.
        steps: moves of a walk, at most. It ends with the rest of the change.
        each: clients of each version.
    """

    class Walk(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.stack = ExitStack()
            url = self.stack.enter_context(server.database())
            directory = self.stack.enter_context(tempfile.TemporaryDirectory())
            self.road = self.stack.enter_context(Road(scene, url, Path(directory), each=each))

        @rule()
        def forward(self) -> None:
            self.road.forward()

        @rule(let_by=st.integers(0, 30))
        def forward_and_killed(self, let_by: int) -> None:
            self.road.forward(Death(let_by=let_by))

        @rule()
        def back(self) -> None:
            self.road.back()

        @rule()
        def to_the_start(self) -> None:
            if self.road.to_the_start():
                self.road.check_rolled_back()

        @rule(let_by=st.none() | st.integers(0, 12))
        def undo(self, let_by: int | None) -> None:
            if self.road.undo(death=None if let_by is None else Death(let_by=let_by)):
                self.road.check_rolled_back()

        @rule(chance=st.integers(0, 9))
        def undo_some(self, chance: int) -> None:
            standing = self.road.standing()
            begun = [phase.name for phase in standing.phases if phase.begun] if standing is not None else []
            if len(begun) > 1:
                self.road.undo(begun[chance % (len(begun) - 1)])

        @rule()
        def tripwire(self) -> None:
            self.road.tripwire(0.1)

        @rule(let_by=st.none() | st.integers(0, 6))
        def brown_out(self, let_by: int | None) -> None:
            self.road.brown_out(1, None if let_by is None else Death(let_by=let_by))

        @rule(seconds=st.sampled_from((0.05, 0.2)))
        def work(self, seconds: float) -> None:
            self.road.settle(seconds)

        @rule()
        def recycle(self) -> None:
            self.road.crowd.recycle()

        @invariant()
        def holds(self) -> None:
            self.road.check()

        def teardown(self) -> None:
            with self.stack:
                while self.road.forward() is not None:
                    self.road.check()
                self.road.settle(0.1)
                self.road.crowd.stop()
                self.road.check()

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.filter_too_much,
            ],
        ),
    )
