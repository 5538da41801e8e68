"""Clients that find the tables through the schema of their version."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from evolve.testing.phase_harness import Dice, Rows, Scene, Values, Version


class Through(Rows):
    """Rows that are found by a search path, as a role or a connection would have it."""

    def __init__(self, path: str, rows: Rows) -> None:
        super().__init__(rows.model, rows.make, normal=rows.normal, removes=rows.removes)
        self._path = text(f"SET LOCAL search_path = {path}, public")
        self._rows = rows

    def add(self, session: Session, dice: Dice) -> tuple[object, Values]:
        session.execute(self._path)
        return self._rows.add(session, dice)

    def find(self, session: Session, key: object) -> Values | None:
        session.execute(self._path)
        return self._rows.find(session, key)

    def existing(self, session: Session) -> list[tuple[object, Values]]:
        session.execute(self._path)
        return self._rows.existing(session)

    def change(self, session: Session, key: object, dice: Dice) -> Values:
        session.execute(self._path)
        return self._rows.change(session, key, dice)

    def remove(self, session: Session, key: object) -> None:
        session.execute(self._path)
        self._rows.remove(session, key)

    def glance(self, session: Session) -> None:
        session.execute(self._path)
        self._rows.glance(session)


def through_versions(scene: Scene) -> Scene:
    """The same clients, each in the schema of its version."""

    def through(path: str, version: Version) -> Version:
        return Version(version.name, *(Through(path, rows) for rows in version.rows))

    return replace(
        scene,
        plan=(*scene.plan, "--versions", "app_v1,app_v2"),
        old=through("app_v1", scene.old),
        new=through("app_v2", scene.new),
    )
