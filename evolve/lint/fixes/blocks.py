"""Steps out of the transaction: autocommit blocks round a statement, behind it, or at the end of the function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from evolve.lint.fixes.edits import Edit, apply
from evolve.lint.fixes.fix import CannotFix
from evolve.lint.fixes.site import Site, is_autocommit
from evolve.lint.fixes.source import Source
from evolve.lint.fixes.surroundings import Way

_WIDEST = 100  # columns of a line that is written here, without its indentation


def step_out(
    site: Site,
    way: Way,
    *,
    edits: Sequence[Edit] = (),
    first: Sequence[str] = (),
    instead: Sequence[str] | None = None,
    stays: Sequence[str] = (),
) -> tuple[Edit, ...]:
    """Bring the statement of `site` into an autocommit block, as `way` says.

    Args:
        edits: to the statement.
        first: lines of code before it in the block.
        instead: lines of code in its place; its comments go with them.
        stays: lines of code that take its place in the transaction, or follow the block.
    """
    source, lines = site.source, site.source.lines(site.statement)
    indentation, unit = source.indentation(site.statement), _unit(site)
    start, end = source.line_start(lines.start), source.line_start(lines.stop)
    at = source.line_start(site.statement.lineno)
    if instead is not None:
        instead = [*source.comments(site.statement), *instead]
        lines = range(lines.start, site.statement.lineno)
    guard = Edit(start, start, "".join(_lines(source, indentation, first)))
    tail = Edit(end, end, "".join(_lines(source, indentation, stays)))
    if site.autocommit:
        return (*way.edits, *([guard] if first else ()), *edits, *([tail] if stays else ()))
    kept = source.within_text(lines)
    deeper = [
        Edit(source.line_start(n), source.line_start(n), unit)
        for n in lines
        if n not in kept and source.line(n).strip()
    ]
    inner = [Edit(start, start, "".join(_lines(source, indentation + unit, first)))] if first else []
    if instead is not None:
        changed = [Edit(at, end, "".join(_lines(source, indentation + unit, instead)))]
    else:
        changed = [_indented(source, edit, unit) for edit in edits]
    body = [*inner, *deeper, *changed]
    opening = f"{indentation}with {site.module}.get_context().autocommit_block():{source.newline}"
    if way.hoist is None:
        earlier = site.body[site.index - 1] if site.index else None
        if earlier is not None and is_autocommit(earlier) and source.indentation(earlier) == indentation:
            opening = ""
        head = [Edit(start, start, opening)] if opening else []
        return (*way.edits, *head, *body, *([tail] if stays else ()))
    moved = _ended(source, apply(source.text[start:end], [_shifted(edit, -start) for edit in body]))
    place = source.lines(way.hoist).start
    above = next(iter(reversed(site.function.body[: site.function.body.index(way.hoist)])), None)
    if above is not None and is_autocommit(above) and (above.end_lineno or 0) == place - 1:
        opening = ""
    to = source.line_start(place)
    return (*way.edits, Edit(to, to, opening + moved), Edit(start, end, tail.text))


def block_behind(site: Site, lines: Sequence[str]) -> Edit:
    """A block of its own, just behind the statement."""
    source = site.source
    end = source.line_start(source.lines(site.statement).stop)
    return Edit(end, end, _opened(source, end) + _block(site, source.indentation(site.statement), lines))


def lines_behind(site: Site, lines: Sequence[str]) -> Edit:
    source = site.source
    end = source.line_start(source.lines(site.statement).stop)
    return Edit(
        end, end, _opened(source, end) + "".join(_lines(source, source.indentation(site.statement), lines))
    )


def block_at_the_end(site: Site, lines: Sequence[str]) -> Edit:
    """Behind all that the function does, which is committed by then; in a block that stands there already.

    Raises:
        CannotFix: the function may end before its end.
    """
    if any(isinstance(node, ast.Return) for node in ast.walk(site.function)):
        message = "upgrade() returns before its end"
        raise CannotFix(message)
    source, last = site.source, site.function.body[-1]
    end = source.line_start(source.lines(last).stop)
    if is_autocommit(last) and isinstance(last, ast.With):
        indentation = source.indentation(last.body[-1])
        return Edit(end, end, _opened(source, end) + "".join(_lines(source, indentation, lines)))
    return Edit(end, end, _opened(source, end) + _block(site, source.indentation(last), lines))


def lines_of(site: Site, code: str) -> list[str]:
    """The lines of `code`, with the file's own name for `op`; those of one long call are three."""
    found: list[str] = []
    for line in code.splitlines():
        own = line.replace("op.", f"{site.module}.", 1) if line.startswith("op.") else line
        own = own.replace("(op.f(", f"({site.module}.f(", 1)
        if len(own) <= _WIDEST or not own.endswith(")"):
            found.append(own)
        else:
            head, _, arguments = own.partition("(")
            found += [f"{head}(", f"{_unit(site)}{arguments.removesuffix(')')}", ")"]
    return found


def _block(site: Site, indentation: str, lines: Sequence[str]) -> str:
    source = site.source
    opening = f"{indentation}with {site.module}.get_context().autocommit_block():{source.newline}"
    return opening + "".join(_lines(source, indentation + _unit(site), lines))


def _unit(site: Site) -> str:
    """What the file indents by; the function stands at the margin."""
    return site.source.indentation(site.function.body[0])


def _lines(source: Source, indentation: str, lines: Sequence[str]) -> Iterator[str]:
    return (f"{indentation}{line}{source.newline}" for line in lines)


def _opened(source: Source, at: int) -> str:
    """The line end that the last line of a file may lack."""
    return "" if source.text[:at].endswith(("\n", "\r")) else source.newline


def _ended(source: Source, text: str) -> str:
    return text if text.endswith(("\n", "\r")) else text + source.newline


def _shifted(edit: Edit, by: int) -> Edit:
    return Edit(edit.start + by, edit.end + by, edit.text)


def _indented(source: Source, edit: Edit, unit: str) -> Edit:
    """The lines that it begins, deeper by `unit`."""
    return Edit(edit.start, edit.end, edit.text.replace(source.newline, source.newline + unit))
