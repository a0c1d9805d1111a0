"""What adds up from tokens: totals, means, perplexities, the weakest token; and what never enters a sum."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from lmscore import LmscoreError, Text, open_scorer
from lmscore.scorer import Scorer

from . import models
from .scores import scored

LOGPROBS = st.lists(st.floats(-50, 0), min_size=1, max_size=60)


@given(LOGPROBS)
def test_perplexity_is_exp_of_minus_the_mean(logprobs: list[float]) -> None:
    score = scored(logprobs)
    assert score.total_logprob == pytest.approx(sum(logprobs))
    assert score.mean_logprob == pytest.approx(sum(logprobs) / len(logprobs))
    assert score.perplexity == pytest.approx(math.exp(-sum(logprobs) / len(logprobs)))


def test_the_total_is_summed_without_rounding_on_the_way() -> None:
    assert scored([-0.1] * 10).total_logprob == -1.0
    assert scored([-1e16, -1.0, -1.0]).total_logprob == -1e16 - 2


def test_bits_per_byte_counts_utf8_bytes() -> None:
    score = scored([-math.log(2)] * 2, "é日")
    assert score.num_bytes == 5
    assert score.bits_per_byte == pytest.approx(2 / 5)
    assert score.byte_logprob == pytest.approx(-2 * math.log(2) / 5)


def test_a_text_of_no_bytes_has_no_figure_by_byte() -> None:
    score = scored([-2.0], "")
    assert (score.total_logprob, score.byte_logprob, score.bits_per_byte) == (-2.0, None, None)


def test_a_perplexity_beyond_float64_is_none_and_not_an_error() -> None:
    assert scored([-1000.0]).perplexity is None
    assert scored([-700.0]).perplexity == pytest.approx(math.exp(700))


def test_the_weakest_token_is_the_first_on_a_tie() -> None:
    score = scored([-1.0, -3.0, -2.0, -3.0])
    assert score.weakest is score.tokens[1]
    assert score.weakest_share == pytest.approx(3 / 9)


def test_certain_tokens_have_a_weakest_and_no_share() -> None:
    score = scored([0.0, 0.0])
    assert score.weakest is score.tokens[0]
    assert score.weakest_share is None
    assert score.perplexity == 1


def test_a_null_enters_no_sum_no_count_and_no_byte() -> None:
    score = scored([None, -2.0, -4.0])
    assert (score.total_logprob, score.mean_logprob, score.num_tokens, score.num_unscored) == (-6.0, -3.0, 2, 1)
    assert score.num_bytes == 2
    assert score.weakest is score.tokens[2]


def test_where_nothing_is_scored_there_are_no_figures() -> None:
    score = scored([None])
    assert score.num_tokens == 0
    figures = (score.total_logprob, score.mean_logprob, score.perplexity, score.bits_per_byte, score.weakest)
    assert figures == (None,) * 5


@pytest.fixture
def damaged(folder_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str, int, float], Scorer]:
    """Opens a copy of the Llama in which one row of the embedding or the head is not finite."""

    def build(part: str, row: int, value: float) -> Scorer:
        shutil.copytree(folder_of("llama"), tmp_path / "damaged")
        model = load(tmp_path / "damaged")
        with torch.no_grad():
            model.get_submodule(part).weight[row] = value
        model.save_pretrained(tmp_path / "damaged")
        return open_scorer(str(tmp_path / "damaged"))

    return build


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_an_error_that_names_its_text_among_others(
    damaged: Callable[[str, int, float], Scorer], scorer_of: Callable[[str], Scorer], value: float
) -> None:
    tokens = scorer_of("llama").score("The cat sat on").tokens
    texts = [Text("The", origin="line 1"), Text("The cat sat on", origin="line 2"), Text("The", origin="line 3")]
    scores = damaged("model.embed_tokens", tokens[1].id, value).scores(texts)
    assert next(scores).total_logprob == pytest.approx(scorer_of("llama").score("The").total_logprob, abs=1e-4)
    with pytest.raises(LmscoreError, match=r"^line 2: .* token \d "):
        next(scores)


def test_an_overflow_at_one_place_is_an_error_that_names_that_token(tmp_path: Path) -> None:
    words = {("<s>", "The"): -1.8, ("The", " cat"): -2.5, (" cat", " sat"): -1.2}
    folder = models.bigram(tmp_path, words)
    model = load(folder)
    with torch.no_grad():
        model.lm_head.weight[0, 2] = 3e38  # times the hidden state of " cat" this is infinite, and 0 elsewhere
    model.save_pretrained(folder)
    scorer = open_scorer(str(folder))
    assert scorer.score("The cat").total_logprob == pytest.approx(-4.3, abs=1e-5)
    with pytest.raises(LmscoreError, match=r"^words\.txt, line 2: .* token 2 \(' sat'\) .*damaged"):
        list(scorer.scores([Text("The cat sat", origin="words.txt, line 2")]))


def test_a_damaged_head_is_an_error_at_the_first_token(damaged: Callable[[str, int, float], Scorer]) -> None:
    with pytest.raises(LmscoreError, match=r"^candidate 1: .* token 0 "):
        damaged("lm_head", 500, math.inf).rank(["The", "cat"])


def load(folder: Path) -> Any:
    auto: Any = AutoModelForCausalLM
    return auto.from_pretrained(folder)


def test_a_stream_may_be_of_strings_and_one_string_is_no_group(scorer_of: Callable[[str], Scorer]) -> None:
    scorer = scorer_of("llama")
    assert [score.text for score in scorer.scores(["a b", Text("c")])] == ["a b", "c"]
    with pytest.raises(TypeError, match="sequence of texts"):
        scorer.rank("abc")
    with pytest.raises(TypeError, match="stream of them"):
        next(scorer.scores("abc"))
