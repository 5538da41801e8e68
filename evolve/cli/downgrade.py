"""`evolve downgrade`, which shares all but its direction with `evolve upgrade`."""

from evolve.cli.upgrade import downgrade as command

__all__ = ["command"]
