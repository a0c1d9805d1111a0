"""Tables' columns as figures and names that are safe to show: of rankings, of words, of what a dataset adds up to.

Knows neither Rich nor HTML, and not how wide a page is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..comparison import Comparison
from ..corpus import Corpus, Hits
from ..records import Candidate, Measure, Score, Words
from . import scale
from .glyphs import shorten, spell_bytes, spell_line, spell_text
from .remarks import MEASURES, SIDES, probability, share, stretch_seen, token_seen
from .spans import STRADDLES
from .units import Unit


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, a cell for each row.

    Attributes:
        cells: as they may be shown.
        values: what they are sorted by, None where there is nothing; empty where that is their text.
        wraps: holds names, not figures, and gets the width that the figures leave.
        may_go: goes where they leave too little.
        full: the value whose bar is as long as can be, as are those of greater ones; None for no bars.
    """

    head: str
    cells: Sequence[str]
    values: Sequence[float | None] = ()
    wraps: bool = False
    may_go: bool = False
    full: float | None = None


def place(candidate: Candidate) -> str:
    """Where it stands; = if others may stand there as well."""
    return f"{candidate.place}{'=' if candidate.tied else ''}"


def figure(nats: float | None, unit: Unit) -> str:
    """A log-probability of a candidate, shorter than those of tokens; nothing where there is none."""
    return "" if nats is None else f"{unit.of(nats):.3f}"


def ranking(by: Measure, unit: Unit, shown: Sequence[Candidate]) -> Iterator[Column]:
    """Of a ranking, a row for each candidate: the most telling first; nats in the unit that is asked for."""

    def figures(head: str, values: Sequence[float | None], may_go: bool = False, full: float | None = None) -> Column:
        return Column(head, [figure(value, unit) for value in values], values, may_go=may_go, full=full)

    totals = [candidate.score.total_logprob for candidate in shown]
    yield Column("", list(map(place, shown)), [candidate.place for candidate in shown])
    texts = [shorten(spell_text(candidate.score.text), 120) for candidate in shown]
    yield Column("candidate", texts, wraps=True)
    yield figures("total", totals, full=min((total for total in totals if total is not None), default=None))
    if by == "pmi":
        yield figures("pmi", [candidate.pmi for candidate in shown])
    yield figures("margin", [candidate.margin for candidate in shown])
    shares = [candidate.share for candidate in shown]
    yield Column("share", list(map(share, shares)), shares, full=1.0)
    yield figures("/token", [candidate.score.mean_logprob for candidate in shown], may_go=by != "mean")
    yield figures("/byte", [candidate.score.byte_logprob for candidate in shown], may_go=by != "byte")
    yield _counts("tokens", [candidate.score.num_tokens for candidate in shown])
    weakest = [candidate.score.weakest for candidate in shown]
    names = ["" if token is None else shorten(token_seen(token), 24) for token in weakest]
    yield Column("weakest", names, wraps=True, may_go=True)


def words(words: Words, unit: Unit, most: int | None = None) -> Iterator[Column]:
    """Of a text's words, a row for each of the first `most`; corrections only where they were made."""
    shown = words.items[:most]
    logprobs = [word.logprob for word in shown]
    yield Column("word", [shorten(spell_bytes(word.word.encode()), 200) for word in shown], wraps=True)
    yield _counts("tokens", [word.num_tokens for word in shown])
    yield _nats(unit.heading, logprobs, unit)
    shares = ["" if nats is None else probability(nats) for nats in logprobs]
    yield Column("prob", shares, logprobs, may_go=True)
    if words.corrected:
        corrections = [word.correction for word in shown]
        changes = ["" if nats is None else unit.signed(nats) for nats in corrections]
        yield Column("correction", changes, corrections, may_go=True)


def tokens(score: Score, unit: Unit, most: int) -> Iterator[Column]:
    """Of a text's tokens, a row for each of the first `most`: all that is told of them; nats in the unit asked for."""
    shown = score.tokens[:most]
    logprobs = [token.logprob for token in shown]
    yield numbers("#", [token.index for token in shown])
    marks = [f"{f' {STRADDLES}' * token.straddles}{' ← weakest' * score.is_weakest(token)}" for token in shown]
    yield Column("token", [f"{token_seen(token)}{mark}" for token, mark in zip(shown, marks, strict=True)], wraps=True)
    yield numbers("id", [token.id for token in shown])
    yield _nats(unit.heading, logprobs, unit)
    yield Column("prob", ["" if nats is None else probability(nats) for nats in logprobs], logprobs)
    yield _counts("rank", [token.rank for token in shown])
    yield _nats("entropy", [token.entropy for token in shown], unit, missing="")
    bits = [None if nats is None else scale.surprisal(nats) for nats in logprobs]
    yield Column("surprisal", [""] * len(shown), bits, wraps=True, full=scale.STEPS)
    likeliest = [[f"{spell_bytes(one.bytes)} {probability(one.logprob)}" for one in token.top or ()] for token in shown]
    yield Column("expected", list(map("  ".join, likeliest)), wraps=True)


def places(comparison: Comparison, unit: Unit, most: int) -> Iterator[Column]:
    """Of a comparison, a row for each of the first `most` places: both sides, and the difference, in bars of bits."""
    shown = comparison.places[:most]
    yield numbers("#", [place.index for place in shown])
    for side, stretches in zip(SIDES, ([one.first for one in shown], [one.second for one in shown]), strict=True):
        several = [f" ({len(one.tokens)} tokens)" if len(one.tokens) > 1 else "" for one in stretches]
        names = [stretch_seen(one) + more if one.tokens else "" for one, more in zip(stretches, several, strict=True)]
        yield Column(side, names, wraps=True)
        figures = [unit.figure(one.logprob) if one.logprob is not None else "unscored" for one in stretches]
        cells = [figure if one.tokens else "" for one, figure in zip(stretches, figures, strict=True)]
        yield Column(unit.heading, cells, [one.logprob if one.tokens else None for one in stretches])
    changes = [place.difference for place in shown]
    seen = ["unscored" if nats is None else unit.signed(nats) for nats in changes]
    decisive = [" ← decides" * (place is comparison.decides) for place in shown]
    cells = [f"{figure}{mark}" for figure, mark in zip(seen, decisive, strict=True)]
    yield Column("difference", cells, changes, full=scale.LEANS / Unit.bits.of(1.0))


def accuracy(corpus: Corpus, by: Measure) -> Iterator[Column]:
    """Of a dataset with gold answers, a row for each measure, `by` first."""
    measures = _measures(corpus, by)
    hits = [corpus.hits[""][measure] for measure in measures]
    yield Column("accuracy by", [MEASURES[measure] for measure in measures], wraps=True)
    yield _counts("right", [of.right for of in hits])
    yield _counts("tied", [of.tied for of in hits])
    yield _counts("records", [of.of for of in hits])
    yield _accuracies("share", hits)
    yield _intervals(hits)


def groups(corpus: Corpus, by: Measure) -> Iterator[Column]:
    """The same by group: accuracy by each measure; ties and the interval are of the measure `by`."""
    measures = _measures(corpus, by)
    names = [group for group in corpus.hits if group]
    first = [corpus.hits[group][measures[0]] for group in names]
    yield Column("group", [shorten(spell_line(group), 60) for group in names], wraps=True)
    yield _counts("records", [of.of for of in first])
    yield _counts("tied", [of.tied for of in first])
    for measure in measures:
        head = f"by {'total' if measure == 'sum' else measure}"
        hits = [corpus.hits[group].get(measure, Hits()) for group in names]
        yield _accuracies(head, hits, may_go=measure != measures[0])
        if measure == measures[0]:
            yield _intervals(first, may_go=True)


def unlikely(corpus: Corpus) -> Iterator[Column]:
    """The least likely records, a row for each."""
    means = [one.mean_logprob for one in corpus.unlikely]
    totals = [one.total_logprob for one in corpus.unlikely]
    yield Column("record", [shorten(spell_line(one.where), 100) for one in corpus.unlikely], wraps=True)
    yield Column("mean per token", [f"{mean:.4f}" for mean in means], means, full=min(means, default=None))
    yield Column("total", [f"{total:.4f}" for total in totals], totals)


def _measures(corpus: Corpus, by: Measure) -> list[Measure]:
    return sorted(corpus.hits.get("", {}), key=lambda measure: measure != by)


def numbers(head: str, names: Sequence[int]) -> Column:
    """Numbers that are names: places in an order, ids."""
    return Column(head, list(map(str, names)), names)


def _counts(head: str, counts: Sequence[int | None]) -> Column:
    return Column(head, ["" if count is None else f"{count:,}" for count in counts], counts)


def _nats(head: str, values: Sequence[float | None], unit: Unit, missing: str = "unscored") -> Column:
    return Column(head, [missing if nats is None else unit.figure(nats) for nats in values], values)


def _accuracies(head: str, hits: Sequence[Hits], may_go: bool = False) -> Column:
    values = [of.accuracy for of in hits]
    cells = ["" if value is None else f"{value:.1%}" for value in values]
    return Column(head, cells, values, may_go=may_go, full=1.0)


def _intervals(hits: Sequence[Hits], may_go: bool = False) -> Column:
    cells = ["" if of.interval is None else f"{of.interval[0]:.1%} to {of.interval[1]:.1%}" for of in hits]
    lowest = [None if of.interval is None else of.interval[0] for of in hits]
    return Column("95% interval", cells, lowest, may_go=may_go)
