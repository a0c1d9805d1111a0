"""The rule for ties, measured: how far rounding moves a total, against what `ranking.resolution` allows for.

Each text is scored by the same model in float64 and in the dtype at hand, in two batches: what a batch does to the
rounding is part of it. The real model's error is much larger than a random one's, so it sets the rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from string import punctuation

import pytest

from lmscore import Score, Text, open_scorer
from lmscore.ranking import SLACK, SLACK_AFTER_CONTEXT, resolution

from . import models
from .scores import scored


def texts(seed: int, count: int, longest: int, context: int) -> list[Text]:
    """Texts of 1 character to `longest`, the short ones as many as the long, half of them after a context.

    They begin with a letter or a space: a comma or a dash right after the start symbol is the known exception.
    """
    lengths = [int(longest ** (i / count)) for i in range(1, count + 1)]
    contexts = models.passages(seed + 1, [context] * count)
    passages = (text.lstrip(punctuation) or "x" for text in models.passages(seed, lengths))
    pairs = zip(passages, contexts, strict=True)
    return [Text(text, before if i % 2 else None) for i, (text, before) in enumerate(pairs)]


def errors(model: str, dtype: str, sample: Sequence[Text]) -> dict[bool, list[float]]:
    """Each total's distance from float64 as a part of the resolution: bare, and after a context."""
    exact, rounded = (list(open_scorer(model, dtype=name).scores(sample)) for name in ("float64", dtype))
    parts: dict[bool, list[float]] = {False: [], True: []}
    for one, other in zip(exact, rounded, strict=True):
        parts[one.context is not None].append(abs(total(one) - total(other)) / resolution(other))
    return parts


def total(score: Score) -> float:
    assert score.total_logprob is not None
    return score.total_logprob


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_rule_covers_a_random_models_rounding(
    architecture: str, folder_of: Callable[[str], Path], dtype: str
) -> None:
    parts = errors(str(folder_of(architecture)), dtype, texts(50, 80, 500, 60))
    assert max(parts[False] + parts[True]) < 1
    assert max(parts[False] + parts[True]) > 0


def test_the_rule_covers_what_is_float32_in_float64(folder_of: Callable[[str], Path]) -> None:
    """Gemma's norms: what they lose differs with what is read together."""
    scorer, sample = open_scorer(str(folder_of("gemma3")), dtype="float64"), texts(51, 40, 300, 60)
    alone = [scorer.score(text.text, text.context) for text in sample]
    pairs = list(zip(alone, scorer.scores(sample), strict=True))
    assert max(abs(total(one) - total(other)) / resolution(other) for one, other in pairs) < 1 / 4


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_rule_covers_the_default_models_rounding_with_little_to_spare(dtype: str) -> None:
    parts = errors("smollm2", dtype, texts(52, 60, 150, 60))
    for found in parts.values():
        assert max(found) < 1
        assert max(found) > 1 / 8


def test_the_rule_grows_with_the_sum_and_with_the_dtypes_unit() -> None:
    small, large = scored([-10.0]), scored([-1000.0])
    assert resolution(large) / resolution(small) == pytest.approx(1032 / 42)
    coarse = replace(small, model=replace(small.model, dtype="bfloat16"))
    assert resolution(coarse) / resolution(small) == pytest.approx(2**16 * SLACK["bfloat16"] / SLACK["float32"])
    assert resolution(small) < 1e-4


def test_every_dtype_has_a_rule() -> None:
    assert SLACK.keys() == SLACK_AFTER_CONTEXT.keys() == {"float64", "float32", "float16", "bfloat16"}
