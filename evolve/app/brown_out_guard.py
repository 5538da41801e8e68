"""`python -m evolve.app.brown_out_guard`: waits for the end of its parent, and gives back what that has hidden.

Its standard input has two lines, the URL and the change, and ends when the parent does; a third says that nothing is
hidden any more.
"""

from __future__ import annotations

import sys

from evolve.app.brown_out import RELEASED, guarded


def main() -> None:
    url = sys.stdin.readline().rstrip("\n")
    identifier = sys.stdin.readline().rstrip("\n")
    if not identifier:
        return  # it died before it had hidden anything
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if RELEASED not in sys.stdin.read():
        guarded(url, identifier)


if __name__ == "__main__":
    main()
