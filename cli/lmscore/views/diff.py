"""A comparison as Rich renderables: side by side, or as running text that is coloured. Returned, never printed.

Orange is where the second is less likely, blue where it is more, a shade a bit. Where a terminal has fewer colours than
it takes, raised figures say so too.
"""

import math
import re
from collections.abc import Iterator
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text as Line

from ..alignment import blocks
from ..comparison import Comparison, Place, Stretch
from ..records import Token
from .glyphs import raised, shorten, spell_line, spell_text
from .scale import LEANS, Depth, lean, leanings
from .spans import Span, legible
from .table import MOST_ROWS, Page, bare_table, context_line, cut, filled, provenance, token_seen


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
        too_many = f"{rows:,} tokens are too many for a table; --json, --format csv and --view heat show them"
        parts.append(_table(comparison, page) if rows <= MOST_ROWS else Line(too_many))
    if heat:
        parts += [*([""] if table else []), _map(comparison, page), _legend(page, comparison.by == "bytes")]
        parts += [""] if table else []
    return Group(*parts, *_footer(comparison, page))


def _table(comparison: Comparison, page: Page) -> Table:
    """A row for each pair of tokens; in the first of a place, its difference and the sum of all so far."""
    table = bare_table(page)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    for side in ("first", "second"):
        table.add_column(side, overflow="fold", min_width=6)
        table.add_column(page.figure, justify="right", no_wrap=True)
    table.add_column("change" if page.narrow else "difference", justify="right", no_wrap=True)
    if not page.narrow:
        table.add_column("so far", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    so_far = list[float]()
    decides = comparison.decides
    for place in comparison.places:
        so_far += [] if place.difference is None else [place.difference]
        mark = ("←" if page.narrow else "← decides") if place is decides else ""
        changed = _change(place.difference, page, "unscored")
        last = [] if page.narrow else [Line(_signed(math.fsum(so_far), page) if so_far else "", "dim")]
        index, tail = str(place.index), [changed, *last, Line(mark, "bold")]
        for ours, theirs in _pairs(place):
            style = "" if place.same else "bold"
            cells = [cell for token in (ours, theirs) for cell in _cells(token, page, style)]
            table.add_row(index, *cells, *tail)
            index, tail = "", []
    return table


def _pairs(place: Place) -> Iterator[tuple[Token | None, Token | None]]:
    """A place's tokens side by side: those that are alike in one row, the others as they come."""
    first, second = place.first, place.second
    ours = [(token.bytes, token.start - first.start) for token in first.tokens]
    theirs = [(token.bytes, token.start - second.start) for token in second.tokens]
    if not place.same:  # words of other lengths: only what they spell can be alike
        ours, theirs = [(spelled, 0) for spelled, _ in ours], [(spelled, 0) for spelled, _ in theirs]
    for a, b in blocks(ours, theirs):
        yield from zip_longest(first.tokens[a.start : a.stop], second.tokens[b.start : b.stop])


def _cells(token: Token | None, page: Page, style: str) -> Iterator[Line]:
    if token is None:
        yield from (Line(""), Line(""))
        return
    yield Line(token_seen(token), style)
    yield Line("unscored" if token.logprob is None else f"{page.unit.of(token.logprob):.4f}")


def _change(difference: float | None, page: Page, missing: str) -> Line:
    """A difference on the colour of its step."""
    if difference is None:
        return Line(missing, "dim")
    return Line(_signed(difference, page), _style(lean(difference)))


def _signed(nats: float, page: Page) -> str:
    """A difference with its sign; none where it is nothing, to as many digits as are shown."""
    figure = f"{page.unit.of(nats):+.4f}"
    return figure[1:] if float(figure) == 0 else figure


def _style(step: int) -> Style:
    """The colour of a step; that of none is the terminal's own."""
    shade = leanings()[step + LEANS]
    return Style(color=shade.ink.code, bgcolor=shade.code) if step else Style()


def _is_poor(page: Page) -> bool:
    """Whether a page has too few colours to tell the shades apart."""
    return page.depth in (Depth.none, Depth.sixteen)


def _map(comparison: Comparison, page: Page) -> Line:
    """The second text as it runs, each place on the colour of its difference; raised figures where colours fail."""
    line = Line(overflow="fold")
    for place in comparison.places:
        step = 0 if place.difference is None else lean(place.difference)
        blank = " " if place.first.text.startswith(" ") else ""
        shown = _running(place.second) if place.second.tokens else f"{blank}{GONE}"
        word = shown.lstrip(" ").removesuffix("\n")
        line.append(shown[: len(shown) - len(shown.lstrip(" "))])
        line.append(word, _style(step) + Style(underline=not place.same))
        line.append(raised(f"{step:+d}") if _is_poor(page) and step else "", "bold")
        line.append("\n" if shown.endswith("\n") else "")
    return line


GONE = "∅"
"""Stands in the second text for words that only the first has."""


def _running(stretch: Stretch) -> str:
    """A text for reading: hidden characters spelled out, spaces as they are, and a new line after each line end."""
    parts = [part for part in re.split(r"(?<=\n)", stretch.text) if part] or [""]
    lines = "\n".join(map(legible, parts)) if stretch.text else Span("", stretch.tokens, stretch.start).seen
    return f"{lines}\n" if stretch.text.endswith("\n") else lines


def _legend(page: Page, models: bool) -> Line:
    """What the colours mean, or the raised figures; between two texts, or two models."""
    where = "under the second model" if models else "than in the first text"
    line = Line()
    if _is_poor(page):
        line.append(f"⁻³ three bits less likely {where}, ⁺³ more; {LEANS} for more than that", "dim")
    else:
        line.append("bits ", "dim")
        for step in range(-LEANS, LEANS + 1):
            if step in (-LEANS, -1, 1, LEANS) or step % 2 == 0:
                line.append(f" {step:+d} " if step else " 0 ", _style(step))
        line.append(f" less or more likely {where}", "dim")
    if not models:
        line.append(f"; underlined, other words; {GONE} words that only the first has", "dim")
    return line


def _footer(comparison: Comparison, page: Page) -> Iterator[Line]:
    """What it adds up to, who wins, what decides, and how the numbers were got."""
    scores = (comparison.first, comparison.second)
    for name, score, total, bits in zip(
        ("first", "second"), scores, comparison.totals, comparison.bits_per_byte, strict=True
    ):
        if total is not None:
            figures = [
                f"{name:6} total {page.unit.of(total):.4f} {page.unit.value}",
                *([] if bits is None else [f"{bits:.4f} bits per byte"]),
                f"{score.num_tokens} token{'s' * (score.num_tokens != 1)}",
                *([f"{score.num_unscored} unscored"] if score.num_unscored else []),
            ]
            yield from (Line(line, "bold") for line in filled(figures, page.width))
    yield from map(Line, _verdict(comparison, page))
    if missing := len(comparison.places) - len(comparison.compared):
        places = "1 place has" if missing == 1 else f"{missing} places have"
        yield Line(f"{places} a token that nothing stands before, which is unscored: left out of all sums.")
    yield from cut(next((score for score in scores if score.min_context is not None), scores[0]))
    if comparison.by == "words":
        yield provenance(scores[0])
    else:
        for name, score in zip(("first", "second"), scores, strict=True):
            yield Line(f"{name}: {spell_line(score.model.sentence)}", "dim")


def _verdict(comparison: Comparison, page: Page) -> Iterator[str]:
    difference, unit = comparison.difference, page.unit.value
    if difference is None:
        yield "Nothing can be compared: no place has a figure on both sides."
        return
    yield f"difference {_signed(difference, page)} {unit}: {_winner(comparison)}"
    if comparison.by == "words" and comparison.at_same is not None and not all(p.same for p in comparison.places):
        other = math.fsum((difference, -comparison.at_same))
        yield (
            f"{_signed(other, page)} of it where the words differ, {_signed(comparison.at_same, page)} at words that "
            "both have, since other words stand before them."
        )
    if (place := comparison.decides) is not None:
        yield f"It is decided at {_named(place, comparison, page)}."
    if comparison.by == "bytes" and (widest := comparison.widest()):
        yield f"Furthest apart: {', '.join(_named(place, comparison, page) for place in widest)}."


def _winner(comparison: Comparison) -> str:
    """Which is the more probable, and how much; or that the arithmetic cannot tell."""
    if comparison.by == "words" and all(place.same for place in comparison.places):
        return "the texts are the same."
    if comparison.tied:
        dtypes = dict.fromkeys(score.model.dtype for score in (comparison.first, comparison.second))
        return f"no winner, since it is less than {' and '.join(dtypes)} can tell."
    which = "the second" if comparison.winner else "the first"
    times = math.exp(min(abs(comparison.difference or 0.0), 700))
    much = f"{times:,.3g} times as probable" if times < 1000 else "more probable"
    if comparison.by == "bytes":
        return f"the text is {much} under {which} model."
    return f"{which} is {much}."


def _named(place: Place, comparison: Comparison, page: Page) -> str:
    """A place in a sentence: its number, what stands there, its difference."""
    figure = "" if place.difference is None else f" {_signed(place.difference, page)}"
    if place.same:
        return f"#{place.index} {_short(place.second)}{figure}"
    return f"#{place.index} {_short(place.first)} / {_short(place.second)}{figure}"


def _short(stretch: Stretch) -> str:
    if not stretch.tokens:
        return "nothing"
    return shorten(spell_text(stretch.text) if stretch.text else spell_text(stretch.tokens[0].token), 40)
