"""Scores to an ordered group: measures, ties, margins and shares. Pure; knows no model and no terminal."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .errors import LmscoreError
from .records import Candidate, Measure, Ranking, Score

# Rounding units (the spacing of numbers just above 1) of the dtypes a model may run in. In float64 many networks still
# work out their norms, their rotary positions or their softmax in float32, though little of that reaches the sums.
UNITS = {"float64": 2.0**-23, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def resolution(score: Score) -> float:
    """How far rounding may have moved a total, in nats: the one rule for ties.

    Rounding errors grow with the dtype's unit and with the sum, so the rule is a multiple of unit · (32 + |total|). The
    multiple is measured: tests/test_resolution.py compares totals with those of the same model in float64. One
    exception is known: where a text opens with a comma or a dash and no context, the default model is up to 0.002 nats
    off in float32, whoever computes it.
    """
    slack = SLACK_AFTER_CONTEXT if score.context else SLACK
    return slack[score.model.dtype] * UNITS[score.model.dtype] * (32 + abs(score.total_logprob or 0.0))


SLACK = {"float64": 0.2, "float32": 10.0, "float16": 1.5, "bfloat16": 3.0}
SLACK_AFTER_CONTEXT = {"float64": 0.2, "float32": 10.0, "float16": 1.5, "bfloat16": 1.5}
"""The hidden state of a start symbol grows a thousandfold on its way (Sun et al. 2024, "Massive Activations in Large
Language Models"). In bfloat16 what follows it directly, with no context between, may be nats off."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """A candidate measured: its value, and how far rounding may have moved that."""

    at: int
    value: float
    blur: float

    def tied_with(self, other: "_Standing") -> bool:
        return self.value == other.value or abs(self.value - other.value) <= self.blur + other.blur


def rank(scores: Sequence[Score], indices: Sequence[int], by: Measure, alone: Sequence[Score] | None = None) -> Ranking:
    """Order candidates, best first.

    Args:
        scores: each candidate after the context, with a scored token at least; at least one.
        indices: each candidate's position in the input.
        by: the measure to order by.
        alone: each candidate after the bare start symbol, if ``pmi`` is wanted.

    Raises:
        LmscoreError: there are no candidates.
    """
    if not scores:
        raise LmscoreError("there are no candidates to rank; give at least one, one a line")
    measures: tuple[Measure, ...] = ("sum", "mean", "byte", "pmi") if alone else ("sum", "mean", "byte")
    without: Sequence[Score | None] = alone or [None] * len(scores)
    orders = {measure: _order(scores, without, measure) for measure in measures}
    order = orders[by]
    best = max(standing.value for _, standing in order)
    crowd = Counter(place for place, _ in order)
    total = _logsumexp([score.total_logprob or 0.0 for score in scores])
    candidates = tuple(
        Candidate(
            place=place,
            index=indices[standing.at],
            score=scores[standing.at],
            value=None if math.isinf(standing.value) else standing.value,
            pmi=_pmi(scores[standing.at], without[standing.at]),
            margin=None if math.isinf(standing.value) else 0.0 if place == 1 else best - standing.value,
            share=math.exp((scores[standing.at].total_logprob or 0.0) - total),
            tied=crowd[place] > 1,
        )
        for place, standing in order
    )
    firsts = {
        measure: tuple(indices[standing.at] for place, standing in orders[measure] if place == 1)
        for measure in measures
    }
    return Ranking(scores[0].context, by, candidates, MappingProxyType(firsts))


def _order(scores: Sequence[Score], alone: Sequence[Score | None], measure: Measure) -> list[tuple[int, _Standing]]:
    """Candidates by a measure, best first, with their places. All that are tied with the best of a place share it, and
    stand there in input order: one that is less sure than others may be tied with it across them.
    """
    standings = [_measure(at, *pair, measure) for at, pair in enumerate(zip(scores, alone, strict=True))]
    best_first = sorted(standings, key=lambda standing: -standing.value)
    widest = max(standing.blur for standing in standings)
    places = dict[int, int]()
    for number, best in enumerate(best_first):
        if best.at in places:
            continue
        place = places[best.at] = len(places) + 1
        for other in map(best_first.__getitem__, range(number + 1, len(best_first))):
            if other.value < best.value - best.blur - widest:
                break  # nor is any behind it
            if other.at not in places and other.tied_with(best):
                places[other.at] = place
    return sorted(((places[one.at], one) for one in standings), key=lambda pair: (pair[0], pair[1].at))


def _measure(at: int, score: Score, alone: Score | None, measure: Measure) -> _Standing:
    """A candidate's value by a measure, and how far rounding may have moved it."""
    blur = resolution(score)
    match measure:
        case "sum":
            figure = score.total_logprob
        case "mean":
            figure, blur = score.mean_logprob, blur / score.num_tokens
        case "byte":
            figure, blur = score.byte_logprob, blur / (score.num_bytes or 1)
        case "pmi":  # two totals, each with an error of its own
            figure, blur = _pmi(score, alone), blur + resolution(alone or score)
    # A text of no bytes (an end symbol alone) has no value by byte, and stands last there.
    return _Standing(at, -math.inf if figure is None else figure, blur)


def _pmi(score: Score, alone: Score | None) -> float | None:
    if alone is None or score.total_logprob is None or alone.total_logprob is None:
        return None
    return score.total_logprob - alone.total_logprob


def _logsumexp(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))
