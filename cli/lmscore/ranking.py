"""Scores to an ordered group: measures, ties, margins and shares. Pure; knows no model and no terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .errors import LmscoreError
from .records import Candidate, Measure, Ranking, Score

# Rounding units (the spacing of numbers just above 1) of the dtypes a model may run in.
UNITS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def resolution(score: Score) -> float:
    """How far rounding may have moved a total, in nats: the one rule for ties.

    Rounding errors grow with the dtype's unit and with the sum, so the rule is a multiple of unit · (1 + |total|). The
    multiple is measured: tests/test_resolution.py compares totals with those of the same model in float64.
    """
    return SLACK * UNITS[score.model.dtype] * (1 + abs(score.total_logprob or 0.0))


SLACK = 4.0


@dataclass(frozen=True, slots=True)
class _Standing:
    """A candidate measured: its value, and how far rounding may have moved that."""

    at: int
    value: float
    blur: float

    def tied_with(self, other: "_Standing") -> bool:
        return abs(self.value - other.value) <= max(self.blur, other.blur)


def rank(scores: Sequence[Score], indices: Sequence[int], by: Measure, alone: Sequence[Score] | None = None) -> Ranking:
    """Order candidates, best first.

    Args:
        scores: each candidate after the context; at least one.
        indices: each candidate's position in the input.
        by: the measure to order by.
        alone: each candidate after the bare start symbol, if ``pmi`` is wanted.

    Raises:
        LmscoreError: there are no candidates, or one has no scored token.
    """
    if not scores:
        raise LmscoreError("there are no candidates to rank; give at least one, one a line")
    for index, score in zip(indices, scores, strict=True):
        if score.total_logprob is None:
            raise LmscoreError(
                f"candidate {index + 1} has no scored token, since nothing stands before its only one; "
                "give --context, or a start symbol with --bos"
            )
    measures: tuple[Measure, ...] = ("sum", "mean", "byte", "pmi") if alone else ("sum", "mean", "byte")
    pmis = [_pmi(*pair) for pair in zip(scores, alone, strict=True)] if alone else [None] * len(scores)
    orders = {measure: _order(scores, pmis, measure) for measure in measures}
    order, places = orders[by], _places(orders[by])
    total = _logsumexp([score.total_logprob or 0.0 for score in scores])
    candidates = tuple(
        Candidate(
            place=place,
            index=indices[standing.at],
            score=scores[standing.at],
            pmi=pmis[standing.at],
            margin=order[0].value - standing.value,
            share=math.exp((scores[standing.at].total_logprob or 0.0) - total),
            tied=places.count(place) > 1,
        )
        for place, standing in zip(places, order, strict=True)
    )
    return Ranking(scores[0].context, by, candidates, MappingProxyType(_flips(orders, by, indices)))


def _order(scores: Sequence[Score], pmis: Sequence[float | None], measure: Measure) -> list[_Standing]:
    """Candidates by a measure, best first; where neighbours are tied, in input order."""
    standings = [_measure(at, score, pmi, measure) for at, (score, pmi) in enumerate(zip(scores, pmis, strict=True))]
    best_first = sorted(standings, key=lambda standing: -standing.value)
    places = _places(best_first)
    return [
        standing for _, standing in sorted(zip(places, best_first, strict=True), key=lambda pair: (pair[0], pair[1].at))
    ]


def _measure(at: int, score: Score, pmi: float | None, measure: Measure) -> _Standing:
    """A candidate's value by a measure, and how far rounding may have moved it."""
    value: Mapping[Measure, tuple[float | None, float]] = {
        "sum": (score.total_logprob, 1.0),
        "mean": (score.mean_logprob, score.num_tokens),
        "byte": (score.byte_logprob, score.num_bytes or 1),
        "pmi": (pmi, 0.5),  # a difference of two totals, each with an error of its own
    }
    figure, divisor = value[measure]
    # A text of no bytes (an end symbol alone) has no value by byte, and stands last there.
    return _Standing(at, -math.inf if figure is None else figure, resolution(score) / divisor)


def _pmi(score: Score, alone: Score) -> float | None:
    if score.total_logprob is None or alone.total_logprob is None:
        return None
    return score.total_logprob - alone.total_logprob


def _places(order: Sequence[_Standing]) -> list[int]:
    """From 1; a candidate tied with the one before it shares its place."""
    places: list[int] = []
    for i, standing in enumerate(order):
        tied = i > 0 and standing.tied_with(order[i - 1])
        places.append(places[-1] if tied else i + 1)
    return places


def _flips(orders: Mapping[Measure, Sequence[_Standing]], by: Measure, indices: Sequence[int]) -> dict[Measure, int]:
    """The winners of other measures, where they have one that is not first (or tied for it) by this one."""
    first = {s.at for s, place in zip(orders[by], _places(orders[by]), strict=True) if place == 1}
    winners: dict[Measure, int] = {}
    for measure, order in orders.items():
        alone = len(order) == 1 or not order[0].tied_with(order[1])
        if alone and order[0].at not in first:
            winners[measure] = indices[order[0].at]
    return winners


def _logsumexp(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))
