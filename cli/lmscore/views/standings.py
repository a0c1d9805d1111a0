"""A ranking's columns, as figures and names that are safe to show. Knows neither Rich nor HTML."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..records import Candidate, Measure
from .glyphs import shorten, spell_text
from .remarks import share, token_seen
from .units import Unit


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a ranking, a cell for each candidate.

    Attributes:
        cells: as they may be shown.
        values: what they are sorted by; none where that is their text.
        wraps: gets what the figures leave.
        may_go: goes where they leave too little.
    """

    head: str
    cells: Sequence[str]
    values: Sequence[float | None] = ()
    wraps: bool = False
    may_go: bool = False


def place(candidate: Candidate) -> str:
    """Where it stands; = if others may stand there as well."""
    return f"{candidate.place}{'=' if candidate.tied else ''}"


def figure(nats: float | None, unit: Unit) -> str:
    """A log-probability of a candidate, shorter than those of tokens; nothing where there is none."""
    return "" if nats is None else f"{unit.of(nats):.3f}"


def columns(by: Measure, unit: Unit, shown: Sequence[Candidate]) -> Iterator[Column]:
    """The columns, most telling first; nats in the unit that is asked for."""

    def figures(head: str, nats: Callable[[Candidate], float | None], may_go: bool = False) -> Column:
        values = list(map(nats, shown))
        return Column(head, [figure(value, unit) for value in values], values, may_go=may_go)

    yield Column("", list(map(place, shown)), [candidate.place for candidate in shown])
    texts = [shorten(spell_text(candidate.score.text), 120) for candidate in shown]
    yield Column("candidate", texts, wraps=True)
    yield figures("total", lambda candidate: candidate.score.total_logprob)
    if by == "pmi":
        yield figures("pmi", lambda candidate: candidate.pmi)
    yield figures("margin", lambda candidate: candidate.margin)
    shares = [candidate.share for candidate in shown]
    yield Column("share", list(map(share, shares)), shares)
    yield figures("/token", lambda candidate: candidate.score.mean_logprob, may_go=True)
    yield figures("/byte", lambda candidate: candidate.score.byte_logprob, may_go=True)
    counts = [candidate.score.num_tokens for candidate in shown]
    yield Column("tokens", list(map(str, counts)), counts)
    weakest = [candidate.score.weakest for candidate in shown]
    names = ["" if token is None else shorten(token_seen(token), 24) for token in weakest]
    yield Column("weakest", names, wraps=True, may_go=True)
