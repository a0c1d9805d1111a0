"""Scores to an ordered group: measures, ties, margins and shares. Pure; knows no model and no terminal."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from .errors import LmscoreError, RecordError
from .records import Candidate, Measure, Ranking, Score

# Rounding units (the spacing of numbers just above 1) of the dtypes a model may run in.
UNITS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def resolution(score: Score) -> float:
    """How far rounding may have moved a total, in nats: the one rule for ties.

    Rounding errors grow with the dtype's unit and with the sum, so the rule is a multiple of unit · (32 + |total|). The
    multiple is measured: tests/test_resolution.py compares totals with those of the same model in float64. One
    exception is known: where a text opens with a comma or a dash and no context, the default model is up to 0.002 nats
    off in float32, whoever computes it.
    """
    slack = SLACK_AFTER_CONTEXT if score.context else SLACK
    return slack[score.model.dtype] * UNITS[score.model.dtype] * (32 + abs(score.total_logprob or 0.0))


SLACK = {"float64": 8.0, "float32": 10.0, "float16": 1.5, "bfloat16": 3.0}
SLACK_AFTER_CONTEXT = {"float64": 8.0, "float32": 10.0, "float16": 1.5, "bfloat16": 1.5}
"""The hidden state of a start symbol grows a thousandfold on its way (Sun et al. 2024, "Massive Activations in Large
Language Models"). In bfloat16 what follows it directly, with no context between, may be nats off."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """A candidate measured: its value, how far rounding may have moved that, and, once ordered, its place."""

    at: int
    value: float
    blur: float
    place: int = 0

    def tied_with(self, other: "_Standing") -> bool:
        return self.value == other.value or abs(self.value - other.value) <= self.blur + other.blur


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
            raise RecordError(
                f"candidate {index + 1} has no scored token, since nothing stands before its only one; "
                "give --context, or a start symbol with --bos"
            )
    measures: tuple[Measure, ...] = ("sum", "mean", "byte", "pmi") if alone else ("sum", "mean", "byte")
    without: Sequence[Score | None] = alone or [None] * len(scores)
    orders = {measure: _order(scores, without, measure) for measure in measures}
    order = orders[by]
    best = max(standing.value for standing in order)
    crowd = Counter(standing.place for standing in order)
    total = _logsumexp([score.total_logprob or 0.0 for score in scores])
    candidates = tuple(
        Candidate(
            place=standing.place,
            index=indices[standing.at],
            score=scores[standing.at],
            pmi=_pmi(scores[standing.at], without[standing.at]),
            margin=None if math.isinf(standing.value) else 0.0 if standing.place == 1 else best - standing.value,
            share=math.exp((scores[standing.at].total_logprob or 0.0) - total),
            tied=crowd[standing.place] > 1,
        )
        for standing in order
    )
    firsts = {measure: tuple(indices[s.at] for s in orders[measure] if s.place == 1) for measure in measures}
    return Ranking(scores[0].context, by, candidates, MappingProxyType(firsts))


def _order(scores: Sequence[Score], alone: Sequence[Score | None], measure: Measure) -> list[_Standing]:
    """Candidates by a measure, best first. Those tied with the best of a place share it; there, input order."""
    standings = [_measure(at, *pair, measure) for at, pair in enumerate(zip(scores, alone, strict=True))]
    best_first = sorted(standings, key=lambda standing: -standing.value)
    best, placed = best_first[0], list[_Standing]()
    for number, standing in enumerate(best_first, 1):
        if number == 1 or not standing.tied_with(best):
            best = replace(standing, place=number)
        placed.append(replace(standing, place=best.place))
    return sorted(placed, key=lambda standing: (standing.place, standing.at))


def _measure(at: int, score: Score, alone: Score | None, measure: Measure) -> _Standing:
    """A candidate's value by a measure, and how far rounding may have moved it."""
    blur = resolution(score)
    value: Mapping[Measure, tuple[float | None, float]] = {
        "sum": (score.total_logprob, blur),
        "mean": (score.mean_logprob, blur / score.num_tokens),
        "byte": (score.byte_logprob, blur / (score.num_bytes or 1)),
        "pmi": (_pmi(score, alone), blur + resolution(alone or score)),  # two totals, each with an error of its own
    }
    figure, blur = value[measure]
    # A text of no bytes (an end symbol alone) has no value by byte, and stands last there.
    return _Standing(at, -math.inf if figure is None else figure, blur)


def _pmi(score: Score, alone: Score | None) -> float | None:
    if alone is None or score.total_logprob is None or alone.total_logprob is None:
        return None
    return score.total_logprob - alone.total_logprob


def _logsumexp(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))
