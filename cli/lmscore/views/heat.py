"""Texts as heat maps: the text itself, each span on a colour of its surprisal. Renderables: returned, never printed.

Where there are no colours, marks stand in for them: figures behind a span are its surprisal in whole bits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, zip_longest

from rich.color import Color
from rich.console import RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text as Line

from ..records import Ranking, Score, Token
from . import columns, scale
from .glyphs import raised, shorten
from .remarks import ranking_signs, token_seen
from .scale import Depth
from .spans import BREAK, DIFFERS, STRADDLES, Span, broken, parting, spans
from .table import Page

DIM = Style(dim=True)
WEAKEST = Style(underline=True, bold=True)

FEW = 8
"""Of spans that were read in several tokens, and of the tokens of each: more are counted."""


def score_map(score: Score, page: Page) -> Iterator[RenderableType]:
    """A text as a heat map with its legend, after its context."""
    read = list(spans(score))
    yield _map(score, read, page, score.context or "")
    yield ""
    yield from _scale(page)
    yield from _signs(score, page)
    yield from _split(read)


def ranking_map(ranking: Ranking, page: Page, top: int | None = None) -> Iterator[RenderableType]:
    """Candidates as heat maps under each other in order of place, with one legend."""
    shown = ranking.upto(top)
    read = [list(spans(candidate.score)) for candidate in shown]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for candidate, own in zip(shown, read, strict=True):
        standing = columns.place(candidate), columns.figure(candidate.value, page.unit)
        grid.add_row(*standing, _map(candidate.score, own, page, "", parting(read[0], own)))
    yield grid
    yield ""
    yield from _scale(page)
    if page.depth is Depth.none:
        yield Line("«» is around each candidate's weakest token.")
    else:
        yield Line.assemble(("underlined", WEAKEST), ": each candidate's weakest token")
    for sign in ranking_signs([candidate.score for candidate in shown]):
        yield Line(f"{sign}.")
    yield from _unscored(any(candidate.score.num_unscored for candidate in shown), page, context=False)
    yield from _split(span for own in read for span in own)


@dataclass(frozen=True, slots=True)
class _Ink:
    """How spans are painted: a style for each step, and what goes around them where there are no colours."""

    styles: Sequence[Style]
    marks: bool

    def painted(self, span: Span, weakest: bool) -> Iterator[tuple[str, Style | None]]:
        """A span in pieces, each with its style."""
        logprob = span.logprob
        style = DIM if logprob is None else self.styles[scale.step(logprob)]
        if not self.marks:
            style = style + WEAKEST if weakest else style
            for piece in broken(span.text) if "\n" in span.text else (span.seen,):
                yield piece, style + DIM if piece == BREAK else style
            return
        seen = "".join(broken(span.text)) if "\n" in span.text else span.seen
        inner = seen.strip(" \n") or seen  # a span of blanks alone is shown with them
        before, _, after = seen.partition(inner)
        figures = "" if logprob is None else raised(f"{scale.whole_bits(logprob)}")
        yield before, None
        yield f"«{inner}»{figures}" if weakest else f"{inner}{figures}", style if logprob is None else None
        yield after, None


def _map(score: Score, read: Sequence[Span], page: Page, context: str, differs: int | None = None) -> Line:
    """The text, span by span; `differs` is the one to put a sign before, or one behind the last."""
    ink = _Ink(_styles(page.depth), page.depth is Depth.none)
    line = Line(overflow="fold")
    for piece in broken(shorten(context, 200)):
        line.append(piece, DIM)
    for at, span in enumerate(read):
        if at == differs:
            line.append(DIFFERS, "bold")
        if span.tokens[0].straddles:
            line.append(STRADDLES, DIM)
        for piece, style in ink.painted(span, any(map(score.is_weakest, span.tokens))):
            line.append(piece, style)
    if differs == len(read):
        line.append(DIFFERS, "bold")
    if line.plain.endswith("\n"):  # its sign is there: an empty line would be one too many
        line.right_crop(1)
    return line


@cache
def _styles(depth: Depth) -> tuple[Style, ...]:
    return tuple(_style(step, depth) for step in range(scale.STEPS))


def _style(step: int, depth: Depth) -> Style:
    shade = scale.shades()[step]
    if depth is Depth.none:
        return Style()
    if depth is Depth.full:
        return Style(color=_exact(shade.ink), bgcolor=_exact(shade))
    if depth is Depth.many:
        number = scale.nearest(shade)
        ink = scale.nearest(scale.of_256(number).ink)
        return Style(color=Color.from_ansi(ink), bgcolor=Color.from_ansi(number))
    band = scale.band(step)
    return Style(color=Color.from_ansi(band.ink), bgcolor=Color.from_ansi(band.number))


def _exact(shade: scale.Shade) -> Color:
    return Color.from_rgb(shade.red, shade.green, shade.blue)


def _scale(page: Page) -> Iterator[Line]:
    """What the colours or the figures mean."""
    if page.depth is Depth.none:
        yield Line(
            "Behind each token: its surprisal in whole bits; a point or comma after that is a token of the text."
        )
        return
    firsts = [band.first for band in scale.BANDS] if page.depth is Depth.sixteen else list(range(scale.STEPS))
    line = Line("bits " if page.narrow else "surprisal in bits ")
    for first, following in zip_longest(firsts, firsts[1:]):
        steps = (
            f"{first}+" if following is None else f"{first}" if following == first + 1 else f"{first}–{following - 1}"
        )
        line.append(f"\u00a0{steps}\u00a0", _styles(page.depth)[first])
    yield line


def _signs(score: Score, page: Page) -> Iterator[Line]:
    """What the other signs in a map mean, as far as they are there."""
    if score.weakest is not None and score.weakest.logprob is not None:
        told = f"{shorten(token_seen(score.weakest), 60)}: {scale.surprisal(score.weakest.logprob):.1f} bits"
        if page.depth is Depth.none:
            yield Line(f"«» is around the weakest token, {told}.")
        else:
            yield Line.assemble(("underlined", WEAKEST), f": the weakest token, {told}")
    yield from _unscored(bool(score.num_unscored), page, context=bool(score.context))


def _unscored(some: bool, page: Page, context: bool) -> Iterator[Line]:
    if some or context:
        what = " and ".join([*["the context"] * context, *["tokens that were not scored"] * some])
        if page.depth is Depth.none:
            yield Line(f"No figure: {what}.")
        else:
            yield Line.assemble(("dim", DIM), f": {what}")


def _split(read: Iterable[Span]) -> Iterator[Line]:
    """What spans of several tokens are made of: some of them, and how many more there are."""
    several: Mapping[str, Span] = {span.text: span for span in read if len(span.tokens) > 1}
    for span in islice(several.values(), FEW):
        parts = " + ".join(_part(token) for token in span.tokens[:FEW])
        more = f" + {len(span.tokens) - FEW} more" if len(span.tokens) > FEW else ""
        yield Line(f"{shorten(span.seen.strip(), 40)} is {len(span.tokens)} tokens: {parts}{more}")
    if len(several) > FEW:
        yield Line(f"{len(several) - FEW} more were read in several tokens (--view table lists them).")


def _part(token: Token) -> str:
    return f"{token_seen(token)} {'unscored' if token.logprob is None else f'{scale.surprisal(token.logprob):.1f}'}"
