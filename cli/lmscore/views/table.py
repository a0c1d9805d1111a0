"""Scores and rankings as Rich renderables: returned, never printed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text as Line

from ..download import Holding
from ..records import Candidate, Measure, Ranking, Score, Token
from .glyphs import shorten, spell_bytes, spell_line, spell_text
from .units import Unit


@dataclass(frozen=True, slots=True)
class Page:
    """Where a table will be seen: its width in columns, and whether on a terminal."""

    width: int = 80
    terminal: bool = False
    unit: Unit = Unit.nats


MEASURES: dict[Measure, str] = {"sum": "total", "mean": "mean per token", "byte": "mean per byte", "pmi": "pmi"}
WEAKEST = "← weakest"
STRADDLES = "straddles"


def score_view(score: Score, page: Page, tokens: bool = True) -> RenderableType:
    """One text: a row for each token, unless they are not wanted, and below it what they add up to."""
    head = _score_table(score, page) if tokens else Line(shorten(spell_text(score.text), 200), "dim")
    return Group(head, *_score_footer(score, page), _provenance(score), Line())


def _score_table(score: Score, page: Page) -> Table:
    entropy = any(token.entropy is not None for token in score.tokens)
    top = any(token.top for token in score.tokens)
    table = _table(page)
    table.add_column("#", justify="right", style="dim")
    table.add_column("token", overflow="fold", min_width=8)
    table.add_column("id", justify="right", style="dim")
    table.add_column("logprob" if page.unit is Unit.nats else page.unit.value, justify="right", no_wrap=True)
    table.add_column("prob", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    if entropy:
        table.add_column("entropy", justify="right", no_wrap=True)
    if top:
        table.add_column("likeliest", overflow="fold", ratio=1)
    table.add_column("", no_wrap=True)
    extra = int(entropy) + int(top)
    if score.model.bos_id is not None:
        start = spell_text(score.model.bos_token or "")
        table.add_row("", Line(start, "dim"), str(score.model.bos_id), Line("given", "dim"), *[""] * (2 + extra), "")
    if score.context:
        context = Line(shorten(spell_text(score.context), 60), "dim")
        table.add_row("", context, "", Line("given", "dim"), *[""] * (2 + extra), "")
    for token in score.tokens:
        table.add_row(*_token_cells(token, score, page, entropy, top))
    return table


def _token_cells(token: Token, score: Score, page: Page, entropy: bool, top: bool) -> Iterator[RenderableType]:
    style = _colour(token.logprob)
    yield str(token.index)
    yield Line(_token(token), style)
    yield str(token.id)
    if token.logprob is None:
        yield Line("unscored", "dim")
        yield ""
    else:
        yield Line(f"{page.unit.of(token.logprob):.4f}", style)
        yield Line(_probability(token.logprob), style)
    yield "" if token.rank is None else str(token.rank)
    if entropy:
        yield "" if token.entropy is None else f"{page.unit.of(token.entropy):.3f}"
    if top:
        yield _alternatives(token)
    notes = [STRADDLES] * token.straddles + [WEAKEST] * (token is score.weakest)
    yield Line(" ".join(notes), "bold" if token is score.weakest else "")


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
    yield Line("  ".join(figures), "bold")
    if (weakest := score.weakest) is not None and weakest.logprob is not None:
        share = "" if score.weakest_share is None else f", {score.weakest_share:.1%} of the total"
        yield Line(
            f"The weakest token is {_token(weakest)} (#{weakest.index}): "
            f"{unit.of(weakest.logprob):.4f} {unit.value}, probability {_probability(weakest.logprob)}{share}."
        )
    if any(token.straddles for token in score.tokens):
        yield Line(f"A token that {STRADDLES} also holds the end of the context; it is scored with the text.")
    if score.windows > 1:
        yield Line(
            f"Longer than the model's context: read in {score.windows} overlapping windows; "
            f"every token after the first window had at least {score.min_context} before it."
        )


def ranking_view(ranking: Ranking, page: Page, top: int | None = None) -> RenderableType:
    """Candidates in order of place, and below them what to make of it."""
    parts: list[RenderableType] = []
    if ranking.context:
        parts.append(Line(f"after {shorten(spell_text(ranking.context), 200)}", "dim"))
    shown = ranking.candidates[:top]
    parts.append(_ranking_table(ranking, shown, page))
    if len(shown) < len(ranking.candidates):
        parts.append(Line(f"{len(ranking.candidates) - len(shown)} more not shown (--top)", "dim"))
    return Group(*parts, *_verdict(ranking), _provenance(ranking.candidates[0].score), Line())


NARROW = 76
"""Below this many columns a ranking's means and weakest tokens give way to the candidates."""


def _ranking_table(ranking: Ranking, shown: tuple[Candidate, ...], page: Page) -> Table:
    wide = page.width >= NARROW
    table = _table(page)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("candidate", overflow="fold", min_width=10)
    table.add_column("total", justify="right", no_wrap=True)
    if ranking.by == "pmi":
        table.add_column("pmi", justify="right", no_wrap=True)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    if wide:
        table.add_column("/token", justify="right", no_wrap=True)
        table.add_column("/byte", justify="right", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    if wide:
        table.add_column("weakest", overflow="fold", min_width=8)
    for candidate in shown:
        style = "bold" if candidate.index == ranking.winner else ""
        table.add_row(*_candidate_cells(candidate, ranking.by, page.unit, wide), style=style)
    return table


def _candidate_cells(candidate: Candidate, by: Measure, unit: Unit, wide: bool) -> Iterator[RenderableType]:
    score = candidate.score
    yield f"{candidate.place}{'=' if candidate.tied else ''}"
    yield Line(spell_text(score.text))
    yield _figure(score.total_logprob, unit)
    if by == "pmi":
        yield _figure(candidate.pmi, unit)
    yield _figure(candidate.margin, unit)
    yield f"{candidate.share:.1%}"
    if wide:
        yield _figure(score.mean_logprob, unit)
        yield _figure(score.byte_logprob, unit)
    yield str(score.num_tokens)
    if wide:
        yield "" if score.weakest is None else Line(_token(score.weakest))


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
    for measure, index in ranking.flips.items():
        winner = next(candidate for candidate in ranking.candidates if candidate.index == index)
        yield Line(
            f"By {MEASURES[measure]} another would win: {shorten(spell_text(winner.score.text), 60)} "
            f"(here in place {winner.place})."
        )


def holdings_view(holdings: Sequence[Holding], cache: Path) -> RenderableType:
    """What the catalogue knows, and what of it lies in the cache."""
    table = _table(Page(terminal=True))
    for column in ("name", "model", "start symbol", "from", "licence", "in the cache"):
        table.add_column(column, overflow="fold")
    for holding in holdings:
        entry = holding.entry
        start = f"{entry.bos_token} (id {entry.bos_id})"
        size = f"{holding.size / 1e6:.0f} MB" if holding.folder else f"no: {entry.wheel_bytes / 1e6:.0f} MB to fetch"
        table.add_row(entry.name, entry.title, start, entry.requirement, entry.licence, size)
    return Group(table, Line(f"Cache: {cache}", "dim"))


def _provenance(score: Score) -> Line:
    """How the numbers were got."""
    return Line(spell_line(score.model.sentence), "dim")


def _table(page: Page) -> Table:
    """A table that is plain where it is not seen on a terminal."""
    shape = box.SIMPLE_HEAD if page.terminal else None
    return Table(box=shape, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)


def _token(token: Token) -> str:
    return spell_bytes(token.bytes) if token.bytes else spell_text(token.token)


def _alternatives(token: Token) -> Line:
    others = (f"{spell_bytes(other.bytes)} {_probability(other.logprob)}" for other in token.top or ())
    return Line("  ".join(others))


def _figure(nats: float | None, unit: Unit) -> str:
    return "" if nats is None else f"{unit.of(nats):.3f}"


def _probability(logprob: float) -> str:
    probability = math.exp(logprob)
    return f"{probability:.4f}" if probability >= 0.00095 else f"{probability:.1e}"


def _colour(logprob: float | None) -> str:
    """From likely to unlikely; the figures say the same, so colour is never needed."""
    if logprob is None:
        return "dim"
    probability = math.exp(logprob)
    scale = ((0.5, "green"), (0.1, "cyan"), (0.01, "yellow"), (0.001, "magenta"))
    return next((colour for least, colour in scale if probability >= least), "red")
