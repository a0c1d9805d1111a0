"""Scores and rankings as Rich renderables: returned, never printed."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..catalogue import Holding
from ..records import Alternative, Candidate, Measure, Ranking, Score, Token
from . import scale
from .glyphs import shorten, spell_bytes, spell_line, spell_text
from .scale import Depth
from .units import Unit


@dataclass(frozen=True, slots=True)
class Page:
    """Where a table will be seen, and what of.

    Attributes:
        width: columns.
        terminal: whether on a terminal.
        depth: how many colours there are.
        entropy, likeliest: whether entropies are shown, and so many of the likeliest tokens, where they were read out.
    """

    width: int = 80
    terminal: bool = False
    unit: Unit = Unit.nats
    depth: Depth = Depth.none
    entropy: bool = True
    likeliest: int | None = None

    @property
    def narrow(self) -> bool:
        """Too narrow for words beside the figures: signs stand for them."""
        return self.width < 76

    @property
    def figure(self) -> str:
        """The head of a column of log-probabilities."""
        return "logprob" if self.unit is Unit.nats else self.unit.value

    @property
    def weakest(self) -> str:
        return "←" if self.narrow else "← weakest"

    @property
    def straddles(self) -> str:
        return "↔" if self.narrow else "↔ straddles"


MEASURES: dict[Measure, str] = {"sum": "total", "mean": "mean per token", "byte": "mean per byte", "pmi": "pmi"}


def score_view(score: Score, page: Page, tokens: bool = True, more: Iterable[RenderableType] = ()) -> RenderableType:
    """One text: a row for each token, unless they are not wanted, then `more`, and below what they add up to."""
    context = [context_line(score.context)] if score.context else []
    fits = len(score.tokens) <= MOST_ROWS
    body = _score_table(score, page) if tokens and fits else Line(shorten(spell_text(score.text), 200))
    left_out = f"{len(score.tokens):,} tokens are too many for a table; --json and --format csv list them"
    said = [] if fits or not tokens else [Line(left_out)]
    return score_frame(score, page, (*context, body, *said, *more))


def score_frame(score: Score, page: Page, views: Iterable[RenderableType]) -> RenderableType:
    """Views of one text, and below them what its tokens add up to, and how that was got."""
    return Group(*views, *_score_footer(score, page), provenance(score))


MOST_ROWS = 20_000
"""Of a table: a larger one takes minutes to lay out, and nobody scrolls through it."""


def context_line(context: str) -> Line:
    """What stands before a text, shortened."""
    return Line(f"after {shorten(spell_text(context), 200)}", "dim")


def _score_table(score: Score, page: Page) -> Table:
    entropy = page.entropy and any(token.entropy is not None for token in score.tokens)
    bar = _has_bar(score, page, entropy)
    table = bare_table(page)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("token", overflow="fold", min_width=5)
    table.add_column("id", justify="right", style="dim", no_wrap=True)
    table.add_column(page.figure, justify="right", no_wrap=True)
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
        for other in (token.top or ())[: page.likeliest]:
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
    yield Line("unscored" if token.logprob is None else f"{page.unit.of(token.logprob):.4f}", style)
    yield Line("" if token.logprob is None else probability(token.logprob), style)
    yield "" if token.rank is None else str(token.rank)
    if entropy:
        yield "" if token.entropy is None else f"{page.unit.of(token.entropy):.3f}"
    if bar:
        yield Line("" if token.logprob is None else surprisal_bar(token.logprob), style)
    notes = [page.straddles] * token.straddles + [page.weakest] * (token is score.weakest)
    yield Line(" ".join(notes), "bold" if token is score.weakest else "")


def _alternative_cells(other: Alternative, page: Page) -> Iterator[RenderableType]:
    """A token that might have stood there, in the columns of the one that does, set in a little."""
    yield Line(f"  {spell_bytes(other.bytes)}")
    yield str(other.id)
    yield f"{page.unit.of(other.logprob):.4f}"
    yield probability(other.logprob)


def _score_footer(score: Score, page: Page) -> Iterator[Line]:
    unit = page.unit
    if score.total_logprob is None or score.mean_logprob is None:
        yield Line("no token was scored: nothing stands before the first")
        return
    perplexity = "beyond float64" if score.perplexity is None else f"{score.perplexity:.4g}"
    figures = [
        f"total {unit.of(score.total_logprob):.4f} {unit.value}",
        f"mean {unit.of(score.mean_logprob):.4f}",
        f"perplexity {perplexity}",
        *([] if score.bits_per_byte is None else [f"{score.bits_per_byte:.4f} bits per byte"]),
        f"{score.num_tokens} token{'s' * (score.num_tokens != 1)}",
        *([f"{score.num_unscored} unscored"] if score.num_unscored else []),
    ]
    yield from (Line(line, "bold") for line in filled(figures, page.width))
    if (weakest := score.weakest) is not None and weakest.logprob is not None:
        share = "" if score.weakest_share is None else f", {score.weakest_share:.1%} of the total"
        yield Line(
            f"The weakest token is {token_seen(weakest)} (#{weakest.index}): "
            f"{unit.of(weakest.logprob):.4f} {unit.value}, probability {probability(weakest.logprob)}{share}."
        )
    if any(token.straddles for token in score.tokens):
        yield Line(f"A token marked {page.straddles} also holds the end of the context; it is scored with the text.")
    yield from cut(score)


def cut(score: Score) -> Iterator[Line]:
    """Says so where a token did not see all that stands before it."""
    if score.min_context is not None:
        windows = f"in {score.windows} overlapping windows" if score.windows > 1 else "without its beginning"
        yield Line(
            f"Longer than the model's context: read {windows}; "
            f"where the beginning was out of sight, a token had at least {score.min_context} before it."
        )


def filled(figures: Sequence[str], width: int) -> Iterator[str]:
    """Figures in lines of at most `width` columns; none is torn from its unit."""
    line = ""
    for figure in figures:
        if line and len(line) + 2 + len(figure) > width:
            yield line
            line = figure
        else:
            line = f"{line}  {figure}" if line else figure
    yield line


def ranking_view(
    ranking: Ranking, page: Page, top: int | None = None, more: Iterable[RenderableType] = ()
) -> RenderableType:
    """Candidates in order of place, then `more`, and below what to make of it."""
    return ranking_frame(ranking, top, (_ranking_table(ranking, ranking.upto(top), page), *more))


def ranking_frame(ranking: Ranking, top: int | None, views: Iterable[RenderableType]) -> RenderableType:
    """Views of a ranking between what stands before all candidates and what to make of them."""
    context = [context_line(ranking.context)] if ranking.context else []
    hidden = len(ranking.candidates) - len(ranking.upto(top))
    left_out = [Line(f"{hidden} more not shown (--top)", "dim")] if hidden else []
    return Group(*context, *views, *left_out, *_verdict(ranking), provenance(ranking.candidates[0].score))


def _ranking_table(ranking: Ranking, shown: Sequence[Candidate], page: Page) -> Table:
    table = bare_table(page)
    columns = _fitting(list(_ranking_columns(ranking.by, page.unit, shown)), page.width)
    for column in columns:
        if column.wraps:
            table.add_column(column.head, overflow="fold", min_width=8)
        else:
            table.add_column(column.head, justify="right", no_wrap=True)
    for candidate, *cells in zip(shown, *(column.cells for column in columns), strict=True):
        table.add_row(*map(Line, cells), style="bold" if candidate.index == ranking.winner else "")
    return table


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a ranking. What wraps gets what the figures leave; what may go does, where they leave too little."""

    head: str
    cells: Sequence[str]
    wraps: bool = False
    may_go: bool = False

    @property
    def width(self) -> int:
        widest = max(map(cell_len, (self.head, *self.cells)))
        return min(widest, ENOUGH) if self.wraps else widest


ENOUGH = 16
"""Columns for a candidate, if it is longer."""


def _ranking_columns(by: Measure, unit: Unit, shown: Sequence[Candidate]) -> Iterator[_Column]:
    def figures(nats: Callable[[Candidate], float | None]) -> list[str]:
        return ["" if value is None else f"{unit.of(value):.3f}" for value in map(nats, shown)]

    yield _Column("", [f"{candidate.place}{'=' if candidate.tied else ''}" for candidate in shown])
    texts = [shorten(spell_text(candidate.score.text), 120) for candidate in shown]
    yield _Column("candidate", texts, wraps=True)
    yield _Column("total", figures(lambda candidate: candidate.score.total_logprob))
    if by == "pmi":
        yield _Column("pmi", figures(lambda candidate: candidate.pmi))
    yield _Column("margin", figures(lambda candidate: candidate.margin))
    yield _Column("share", [_share(candidate.share) for candidate in shown])
    yield _Column("/token", figures(lambda candidate: candidate.score.mean_logprob), may_go=True)
    yield _Column("/byte", figures(lambda candidate: candidate.score.byte_logprob), may_go=True)
    yield _Column("tokens", [str(candidate.score.num_tokens) for candidate in shown])
    yield _Column("weakest", [_weakest(candidate.score) for candidate in shown], wraps=True, may_go=True)


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """The columns without the last of those that may go, until the rest fit."""
    while sum(column.width + 1 for column in columns) > width + 1 and any(column.may_go for column in columns):
        columns.remove([column for column in columns if column.may_go][-1])
    return columns


def _weakest(score: Score) -> str:
    return "" if score.weakest is None else shorten(token_seen(score.weakest), 24)


def _share(share: float) -> str:
    """Neither nothing nor everything, where it is only nearly so."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def _verdict(ranking: Ranking) -> Iterator[Line]:
    by = MEASURES[ranking.by]
    first = [candidate for candidate in ranking.candidates if candidate.place == 1]
    if ranking.tied:
        yield Line(
            f"No winner by {by}: the first {len(first)} are closer than {first[0].score.model.dtype} can tell apart "
            "(marked =, in input order).",
            "bold",
        )
    elif any(candidate.tied for candidate in ranking.candidates):
        yield Line("= marks candidates that are closer than the arithmetic can tell apart, in input order.")
    for winner in ranking.candidates:
        if measures := [MEASURES[measure] for measure, index in ranking.flips.items() if index == winner.index]:
            yield Line(
                f"By {' and '.join(measures)} another would win: {shorten(spell_text(winner.score.text), 60)} "
                f"(here in place {winner.place})."
            )
    if shortened := [candidate.score for candidate in ranking.candidates if candidate.score.min_context is not None]:
        yield from cut(shortened[0])


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


def provenance(score: Score) -> Line:
    """How the numbers were got."""
    return Line(spell_line(score.model.sentence), "dim")


def bare_table(page: Page) -> Table:
    """A table with a blank between its columns, and on a terminal with a line below its head."""
    shape, padding = (box.SIMPLE_HEAD, (0, 0)) if page.terminal else (None, (0, 1, 0, 0))
    return Table(box=shape, pad_edge=False, padding=padding, header_style="bold", show_edge=False)


def token_seen(token: Token) -> str:
    """A token as it may be shown."""
    return spell_bytes(token.bytes) if token.bytes else spell_text(token.token)


def probability(logprob: float) -> str:
    """A probability to the figures that count."""
    share = math.exp(logprob)
    if share >= 0.00095:
        return f"{share:.4f}"
    return f"{share:.1e}" if share > 1e-99 else "<1e-99"  # never 0: it is not impossible


def colour(logprob: float | None) -> str:
    """From likely to unlikely; the figures say the same, so colour is never needed."""
    if logprob is None:
        return "dim"
    probability = math.exp(logprob)
    scale = ((0.5, "green"), (0.1, "cyan"), (0.01, "yellow"), (0.001, "magenta"))
    return next((colour for least, colour in scale if probability >= least), "red")
