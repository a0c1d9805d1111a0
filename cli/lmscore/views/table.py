"""Scores and rankings as Rich renderables: returned, never printed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..catalogue import Holding
from ..records import EVERYTHING, Alternative, Candidate, Extras, Provenance, Ranking, Score, Token
from . import columns, remarks, scale
from .columns import Column
from .glyphs import shorten, spell_bytes, spell_line, spell_text
from .remarks import probability, token_seen
from .scale import Depth
from .spans import STRADDLES
from .units import Unit


@dataclass(frozen=True, slots=True)
class Page:
    """Where a table will be seen, and what of.

    Attributes:
        width: columns.
        terminal: whether on a terminal.
        depth: how many colours there are.
        extras: what is shown of each token beside its log-probability, where it was read out.
    """

    width: int = 80
    terminal: bool = False
    unit: Unit = Unit.nats
    depth: Depth = Depth.none
    extras: Extras = EVERYTHING

    @property
    def narrow(self) -> bool:
        """Too narrow for words beside the figures: signs stand for them."""
        return self.width < 76

    @property
    def weakest(self) -> str:
        return "←" if self.narrow else "← weakest"

    @property
    def straddles(self) -> str:
        return STRADDLES if self.narrow else f"{STRADDLES} straddles"


def score_view(score: Score, page: Page, tokens: bool = True, more: Iterable[RenderableType] = ()) -> RenderableType:
    """One text: a row for each token, unless they are not wanted, then `more`, and below what they add up to."""
    context = [context_line(score.context)] if score.context else []
    left_out = too_many(_num_rows(score, page), "rows", "--json and --format csv list them") if tokens else None
    shown = tokens and left_out is None
    body = _score_table(score, page) if shown else Line(shorten(spell_text(score.text), 200))
    return score_frame(score, page, (*context, body, *filter(None, [left_out]), *more))


def score_frame(score: Score, page: Page, views: Iterable[RenderableType]) -> RenderableType:
    """Views of one text, and below them what its tokens add up to, and how that was got."""
    return Group(*views, *_score_footer(score, page), provenance(score.model))


MOST_ROWS = 20_000
"""Of a table: a larger one takes minutes to lay out, and nobody scrolls through it."""


def _num_rows(score: Score, page: Page) -> int:
    """How many rows a text's table would have; one that has too many anyway is not looked through."""
    if len(score.tokens) > MOST_ROWS:
        return len(score.tokens)
    return sum(1 + len((token.top or ())[: page.extras.top]) for token in score.tokens)


def too_many(rows: int, what: str, instead: str) -> Line | None:
    """What stands in a table's place if it would have too many rows."""
    return Line(f"{rows:,} {what} are too many for a table; {instead}") if rows > MOST_ROWS else None


def context_line(context: str) -> Line:
    """What stands before a text, shortened."""
    return Line(f"after {shorten(spell_text(context), 200)}", "dim")


def _score_table(score: Score, page: Page) -> Table:
    entropy = page.extras.entropy and any(token.entropy is not None for token in score.tokens)
    bar = _has_bar(score, page, entropy)
    table = bare_table(page)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("token", overflow="fold", min_width=5)
    table.add_column("id", justify="right", style="dim", no_wrap=True)
    table.add_column(page.unit.heading, justify="right", no_wrap=True)
    table.add_column("prob", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    if entropy:
        table.add_column("entropy", justify="right", no_wrap=True)
    if bar:
        table.add_column("surprisal", no_wrap=True)
    table.add_column("", no_wrap=True)
    if score.model.bos_id is not None:
        start = Line(spell_text(score.model.bos_token or ""), "dim")
        table.add_row("", start, str(score.model.bos_id), Line("given", "dim"))
    for token in score.tokens:
        table.add_row(*_token_cells(token, score, page, entropy, bar))
        for other in (token.top or ())[: page.extras.top]:
            table.add_row("", *_alternative_cells(other, page), style="dim")
    return table


def _has_bar(score: Score, page: Page, entropy: bool) -> bool:
    """Whether there is room for bars beside all the figures and the longest note."""
    crowded = entropy and any(token.straddles for token in score.tokens)
    return page.width >= 90 if crowded else not page.narrow


BAR = 8
"""Columns of a bar: two bits each."""


def surprisal_bar(logprob: float) -> str:
    """A surprisal as a bar, to an eighth of a column; the longest stands for 16 bits and more.

    Args:
        logprob: in nats.
    """
    eighths = min(round(scale.surprisal(logprob) * 4), 8 * BAR)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _token_cells(token: Token, score: Score, page: Page, entropy: bool, bar: bool) -> Iterator[RenderableType]:
    style = colour(token.logprob)
    yield str(token.index)
    yield Line(token_seen(token), style)
    yield str(token.id)
    yield Line("unscored" if token.logprob is None else page.unit.figure(token.logprob), style)
    yield Line("" if token.logprob is None else probability(token.logprob), style)
    yield "" if token.rank is None else f"{token.rank:,}"
    if entropy:
        yield "" if token.entropy is None else f"{page.unit.of(token.entropy):.3f}"
    if bar:
        yield Line("" if token.logprob is None else surprisal_bar(token.logprob), style)
    notes = [page.straddles] * token.straddles + [page.weakest] * score.is_weakest(token)
    yield Line(" ".join(notes), "bold" if score.is_weakest(token) else "")


def _alternative_cells(other: Alternative, page: Page) -> Iterator[RenderableType]:
    """A token that might have stood there, in the columns of the one that does, set in a little."""
    yield Line(f"  {spell_bytes(other.bytes)}")
    yield str(other.id)
    yield page.unit.figure(other.logprob)
    yield probability(other.logprob)


def _score_footer(score: Score, page: Page) -> Iterator[Line]:
    yield from (Line(line, "bold") for line in filled(remarks.figures(score, page.unit), page.width))
    yield from map(Line, remarks.score_notes(score, page.unit))


def filled(figures: Iterable[str], width: int) -> Iterator[str]:
    """Figures in lines of at most `width` columns; none is torn from its unit."""
    line = ""
    for figure in figures:
        if line and len(line) + 2 + len(figure) > width:
            yield line
            line = figure
        else:
            line = f"{line}  {figure}" if line else figure
    if line:
        yield line


def ranking_view(
    ranking: Ranking, page: Page, top: int | None = None, more: Iterable[RenderableType] = ()
) -> RenderableType:
    """Candidates in order of place, then `more`, and below what to make of it."""
    return ranking_frame(ranking, page, top, (*_ranking_table(ranking, ranking.upto(top), page), *more))


def ranking_frame(ranking: Ranking, page: Page, top: int | None, views: Iterable[RenderableType]) -> RenderableType:
    """Views of a ranking between what stands before all candidates and what to make of them."""
    context = [context_line(ranking.context)] if ranking.context else []
    left_out = (Line(line, "dim") for line in remarks.hidden(ranking, top))
    return Group(*context, *views, *left_out, *_verdict(ranking, page.unit), provenance(ranking.model))


def _ranking_table(ranking: Ranking, shown: Sequence[Candidate], page: Page) -> Iterator[RenderableType]:
    table = bare_table(page)
    fit, told = fitting(columns.ranking(ranking.by, page.unit, shown), page.width)
    for candidate, cells in zip(shown, add_columns(table, fit), strict=True):
        table.add_row(*cells, style="bold" if candidate.index == ranking.winner else "")
    yield table
    yield from told


def add_columns(table: Table, shown: Sequence[Column]) -> Iterator[tuple[Line, ...]]:
    """Give a table its heads; the rows that belong below them."""
    for column in shown:
        if column.wraps:
            table.add_column(column.head, overflow="fold", min_width=FEWEST)
        else:
            table.add_column(column.head, justify="right", no_wrap=True)
    return zip(*(map(Line, column.cells) for column in shown), strict=True)


FEWEST, ENOUGH = 8, 16
"""Columns for a candidate or another name: at least, and if it is longer."""


def fitting(every: Iterable[Column], width: int) -> tuple[list[Column], list[Line]]:
    """The columns without the last of those that may go, until the rest fit; and what names those that went."""
    kept, gone = list(every), list[str]()
    while sum(_width(column) + 1 for column in kept) > width + 1 and (may := [c for c in kept if c.may_go]):
        kept.remove(may[-1])
        gone.insert(0, may[-1].head)
    return kept, no_room(gone)


def no_room(heads: Sequence[str]) -> list[Line]:
    """Names columns that are not there, if any."""
    return [Line(f"left out, for want of room: {', '.join(heads)}", "dim")] if heads else []


def _width(column: Column) -> int:
    widest = max(map(cell_len, (column.head, *column.cells)))
    return min(max(widest, FEWEST), ENOUGH) if column.wraps else widest


def _verdict(ranking: Ranking, unit: Unit) -> Iterator[Line]:
    yield from (Line(line, "bold") for line in remarks.no_winner(ranking))
    yield from map(Line, remarks.ranking_notes(ranking, unit))


def holdings_view(holdings: Sequence[Holding], cache: Path) -> RenderableType:
    """What the catalogue knows, and what of it lies in the cache."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for holding in holdings:
        entry = holding.entry
        held = f"{holding.size / 1e6:.0f} MB in the cache"
        if holding.folder is None:
            held = f"not in the cache: {entry.wheel_bytes / 1e6:.0f} MB to fetch, once"
        table.add_row(entry.name, f"{entry.title} ({entry.licence}), from {entry.requirement}")
        table.add_row("", f"start symbol {entry.bos_token} (id {entry.bos_id})")
        table.add_row("", held)
    return Group(table, Line(f"The cache is {spell_line(str(cache))}", "dim", overflow="fold"))


def provenance(model: Provenance) -> Line:
    """How the numbers were got."""
    return Line(spell_line(model.sentence), "dim")


def bare_table(page: Page) -> Table:
    """A table with a blank between its columns, and on a terminal with a line below its head."""
    shape, padding = (box.SIMPLE_HEAD, (0, 0)) if page.terminal else (None, (0, 1, 0, 0))
    return Table(box=shape, pad_edge=False, padding=padding, header_style="bold", show_edge=False)


def colour(logprob: float | None) -> str:
    """From likely to unlikely; the figures say the same, so colour is never needed."""
    if logprob is None:
        return "dim"
    probability = math.exp(logprob)
    scale = ((0.5, "green"), (0.1, "cyan"), (0.01, "yellow"), (0.001, "magenta"))
    return next((colour for least, colour in scale if probability >= least), "red")
