"""A comparison as Rich renderables: side by side, or as running text that is coloured. Returned, never printed.

Orange is where the second is less likely, blue where it is more, a shade a bit. Where a terminal has fewer colours than
it takes, raised figures say so too.
"""

from collections.abc import Iterator
from itertools import accumulate

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text as Line

from ..comparison import Comparison
from ..records import Token
from . import remarks
from .glyphs import raised, spell_line
from .remarks import SIDES, token_seen
from .scale import LEANS, Depth, lean, leanings
from .spans import across
from .table import Page, bare_table, context_line, filled, no_room, provenance, too_many


def comparison_view(comparison: Comparison, page: Page, table: bool = True, heat: bool = False) -> RenderableType:
    """A comparison.

    Args:
        table: show the tokens of both, side by side.
        heat: show the second text as it runs, coloured by the difference at each place.
    """
    context = comparison.first.context
    parts: list[RenderableType] = [context_line(context)] if context else []
    if table:
        rows = max(len(comparison.first.tokens), len(comparison.second.tokens))
        left_out = too_many(rows, "tokens", "--json, --format csv and --view heat show them")
        parts += [left_out] if left_out else [_table(comparison, page), *no_room(["so far"] * page.narrow)]
    if heat:
        parts += [*([""] if table else []), _map(comparison, page), _legend(comparison, page)]
        parts += [""] if table else []
    return Group(*parts, *_footer(comparison, page))


def _table(comparison: Comparison, page: Page) -> Table:
    """A row for each pair of tokens; in the first of a place, its difference and the sum of all so far."""
    table = bare_table(page)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    for side in SIDES:
        table.add_column(side, overflow="fold", min_width=6)
        table.add_column(page.unit.heading, justify="right", no_wrap=True)
    table.add_column("difference", justify="right", no_wrap=True)
    if not page.narrow:
        table.add_column("so far", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    decides = comparison.decides
    summed = accumulate(place.difference or 0.0 for place in comparison.places)
    for place, so_far in zip(comparison.places, summed, strict=True):
        mark = ("←" if page.narrow else "← decides") if place is decides else ""
        changed = _change(place.difference, page, "unscored")
        last = [] if page.narrow else [Line("" if place.difference is None else page.unit.signed(so_far), "dim")]
        index, tail = str(place.index), [changed, *last, Line(mark, "bold")]
        for ours, theirs in place.pairs():
            style = "" if place.same else "bold"
            cells = [cell for token in (ours, theirs) for cell in _cells(token, page, style)]
            table.add_row(index, *cells, *tail)
            index, tail = "", []
    return table


def _cells(token: Token | None, page: Page, style: str) -> Iterator[Line]:
    if token is None:
        yield from (Line(""), Line(""))
        return
    yield Line(token_seen(token), style)
    yield Line("unscored" if token.logprob is None else page.unit.figure(token.logprob))


def _change(difference: float | None, page: Page, missing: str) -> Line:
    """A difference on the colour of its step."""
    if difference is None:
        return Line(missing, "dim")
    return Line(page.unit.signed(difference), _style(lean(difference), page))


def _style(step: int, page: Page) -> Style:
    """The colour of a step; that of none is the terminal's own, as are all where colours fail."""
    shade = leanings()[step + LEANS]
    return Style(color=shade.ink.code, bgcolor=shade.code) if step and not _is_poor(page) else Style()


def _is_poor(page: Page) -> bool:
    """Whether a page has too few colours to tell the shades apart."""
    return page.depth in (Depth.none, Depth.sixteen)


def _has_lines(page: Page) -> bool:
    """Whether words can be underlined: on a terminal even without colours."""
    return page.terminal or page.depth is not Depth.none


def _map(comparison: Comparison, page: Page) -> Line:
    """The second text as it runs, each place on the colour of its difference; raised figures where colours fail."""
    line = Line(overflow="fold")
    for place in comparison.places:
        step = 0 if place.difference is None else lean(place.difference)
        shown = across(place)
        word = shown.lstrip(" ").removesuffix("\n")
        line.append(shown[: len(shown) - len(shown.lstrip(" "))])
        marked = f"«{word}»" if place.replaced and not _has_lines(page) else word
        line.append(marked, _style(step, page) + Style(underline=place.replaced))
        line.append(raised(f"{step:+d}") if _is_poor(page) and step else "", "bold")
        line.append("\n" if shown.endswith("\n") else "")
    return line


def _legend(comparison: Comparison, page: Page) -> Line:
    """What the colours mean, or the raised figures, and the signs."""
    line, against = Line(), remarks.against(comparison)
    if not remarks.moved(comparison):
        line.append(remarks.UNMOVED, "dim")
    elif _is_poor(page):
        line.append(f"⁻³ three bits less likely {against}, ⁺³ more; {LEANS} for more than that", "dim")
    else:
        line.append("bits ", "dim")
        for step in range(-LEANS, LEANS + 1):
            if step in (-LEANS, -1, 1, LEANS) or step % 2 == 0:
                line.append(f" {step:+d} " if step else " 0 ", _style(step, page))
        line.append(f" less or more likely {against}", "dim")
    line.append("".join(f"; {sign}" for sign in remarks.comparison_signs(comparison, _has_lines(page))), "dim")
    return line


def _footer(comparison: Comparison, page: Page) -> Iterator[Line]:
    """What it adds up to, who wins, what decides, and how the numbers were got."""
    for name, figures in remarks.side_figures(comparison, page.unit):
        first, *others = figures
        yield from (Line(line, "bold") for line in filled([f"{name:6} {first}", *others], page.width))
    yield from map(Line, remarks.comparison_notes(comparison, page.unit))
    if not comparison.of_models:
        yield provenance(comparison.first.model)
    else:
        for name, score in zip(SIDES, comparison.scores, strict=True):
            yield Line(f"{name}: {spell_line(score.model.sentence)}", "dim")
