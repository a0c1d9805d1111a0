"""The scorer against its slow twin: every number, for every architecture, however texts are put together."""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmscore import Reading, Score, Text, attention, decoder, open_scorer
from lmscore.scorer import Scorer

from . import models
from .twin import Expected, Twin

NEAR = 1e-4
"""Nats that a token may be off: README's promise in float32."""

STRANGE = ["日本語", "naïve", "a", " ", "\n\n", "😀😀 🎉", "<s>", "The <|endoftext|>", "0" * 50, "\x00\x1b[31m", "▁ ▁"]


@pytest.fixture
def scorer(architecture: str, scorer_of: Callable[[str], Scorer]) -> Scorer:
    return scorer_of(architecture)


@pytest.fixture
def twin(architecture: str, twin_of: Callable[[str], Twin]) -> Twin:
    return twin_of(architecture)


def near(logprob: float | None) -> Any:
    return None if logprob is None else pytest.approx(logprob, rel=0, abs=NEAR)


def agree(score: Score, expected: Sequence[Expected]) -> None:
    """The same tokens, and the same log-probability for each."""
    assert [token.id for token in score.tokens] == [token.id for token in expected]
    for token, other in zip(score.tokens, expected, strict=True):
        assert token.logprob == near(other.logprob), token


def agrees_each(scorer: Scorer, twin: Twin, texts: Sequence[Text], reading: Reading = Reading()) -> None:
    scores = list(scorer.scores(texts, reading))
    assert [score.text for score in scores] == [text.text for text in texts]
    for text, score in zip(texts, scores, strict=True):
        agree(score, twin.score(text.text, text.context, reading.eos, reading.stride))


def test_each_text_of_a_mixed_batch(scorer: Scorer, twin: Twin) -> None:
    lengths = [1, 2, 3, 5, 8, 480, 1, 40, 90, 3, 200, 350, 12, 470] * 3
    texts = [*models.passages(1, lengths), *STRANGE]
    counts = [score.num_tokens for score in scorer.scores(map(Text, texts))]
    assert min(counts) == 1
    assert 200 < max(counts) < models.WINDOW
    agrees_each(scorer, twin, [Text(text) for text in texts])


def test_a_text_alone_and_among_any_others(scorer: Scorer, twin: Twin) -> None:
    for text in models.passages(2, [1, 4, 30, 500]):
        alone = scorer.score(text)
        agree(alone, twin.score(text))
        for others in (models.passages(3, [1] * 9), models.passages(4, [300] * 9), [text + "s", text[:-1] + "~"]):
            among = list(scorer.scores([Text(others[0]), Text(text), *map(Text, others[1:])]))[1]
            for one, other in zip(alone.tokens, among.tokens, strict=True):
                assert one.logprob == near(other.logprob)


def test_many_candidates_after_one_context(scorer: Scorer, twin: Twin) -> None:
    context, *endings = models.passages(5, [150, *[3, 9, 27, 60] * 12])
    ranking = scorer.rank(endings, context)
    assert sorted(candidate.index for candidate in ranking.candidates) == list(range(len(endings)))
    for candidate in ranking.candidates:
        assert candidate.score.text == endings[candidate.index]
        agree(candidate.score, twin.score(candidate.score.text, context))


def test_a_long_path_that_many_see(scorer: Scorer, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "LONG_PATH", 10)
    header, one, other, *endings = models.passages(8, [20, 120, 70, 3, 9, 27, 60])
    agrees_each(scorer, twin, [Text(text, header + context) for context in (one, other) for text in endings])


def test_candidates_that_begin_alike_in_a_tree(scorer: Scorer, twin: Twin) -> None:
    context, trunk, *twigs = models.passages(6, [60, 80, 5, 5, 5, 5])
    tree = [trunk[:fork] + twig for fork in (0, 1, 7, 20, 21, 50, 80) for twig in twigs]
    agrees_each(scorer, twin, [Text(text, context) for text in tree])


def test_texts_that_are_beginnings_of_each_other(scorer: Scorer, twin: Twin) -> None:
    [text] = models.passages(7, [60])
    prefixes = [text[:length] for length in range(1, len(text))]
    random.Random(7).shuffle(prefixes)
    agrees_each(scorer, twin, [Text(prefix) for prefix in prefixes])


def test_one_text_after_many_contexts(scorer: Scorer, twin: Twin) -> None:
    [text] = models.passages(8, [30])
    agrees_each(scorer, twin, [Text(text, context) for context in [None, "", *models.passages(9, [1, 2, 40, 41, 400])]])


def test_tokens_that_straddle_the_boundary(scorer: Scorer, twin: Twin) -> None:
    [passage] = models.passages(10, [120])
    cuts = [Text(passage[cut:], passage[:cut]) for cut in range(1, 120)]
    straddling = [score for score in scorer.scores(cuts) if score.tokens[0].straddles]
    assert len(straddling) > 20
    agrees_each(scorer, twin, cuts)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_documents_longer_than_a_kernel_takes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """torch's attention goes through keys 512 at a time; here whole stretches of them are hidden from a row.

    Laid out as for a CPU and as for an accelerator, both times on the CPU.
    """
    layout = attention.laid_out
    monkeypatch.setattr(decoder, "laid_out", lambda count, _, dtype: layout(count, torch.device(device), dtype))
    config = transformers.LlamaConfig(**{**models.SIZES, "max_position_embeddings": 2048}, initializer_range=0.2)
    model = transformers.LlamaForCausalLM(config)
    folder = models.save(model, models.wrap(models.byte_level("<s>", "</s>"), "<s>", "</s>"), tmp_path)
    texts = [Text(text) for text in models.passages(12, [2400, 30, 2500, 90, 2300])]
    scorer = open_scorer(str(folder), device="cpu")
    assert max(score.num_tokens for score in scorer.scores(texts)) > 700
    start = scorer.start.id
    agrees_each(scorer, Twin(folder, start), [*texts, *(Text(text.text, texts[0].text) for text in texts[1:4:2])])


def test_identical_texts_get_identical_places_and_the_twins_numbers(scorer: Scorer, twin: Twin) -> None:
    one, other = models.passages(11, [45, 45])
    agrees_each(scorer, twin, [Text(one), Text(other)] * 10 + [Text(one, other)] * 5)


def test_the_end_symbol_as_a_last_token(scorer: Scorer, twin: Twin) -> None:
    texts = [Text(text, context) for text in models.passages(12, [1, 20, 200]) for context in (None, "The context")]
    agrees_each(scorer, twin, [*texts, Text("")], Reading(eos=True))
    score = scorer.score("The cat", reading=Reading(eos=True))
    assert score.tokens[-1].id == twin.eos
    assert (score.tokens[-1].bytes, score.tokens[-1].start, score.tokens[-1].end) == (b"", 7, 7)


def test_without_a_start_symbol(architecture: str, folder_of: Callable[[str], Path]) -> None:
    scorer, twin = open_scorer(str(folder_of(architecture)), bos="none"), Twin(folder_of(architecture), None)
    texts = [Text(text, context) for text in models.passages(13, [1, 2, 9, 300]) for context in (None, "The context")]
    scores = list(scorer.scores([*texts, texts[0]]))
    for text, score in zip(texts, scores, strict=False):
        agree(score, twin.score(text.text, text.context))
        assert score.num_unscored == (text.context is None)


def test_ranks_entropies_and_the_likeliest(scorer: Scorer, twin: Twin) -> None:
    reading = Reading(rank=True, entropy=True, top=5)
    for score in scorer.scores(map(Text, models.passages(14, [1, 7, 90, 400])), reading):
        for token, expected in zip(score.tokens, twin.score(score.text), strict=True):
            assert token.rank is not None and token.top is not None and expected.row is not None
            assert token.rank in expected.rank_range(NEAR)
            assert token.entropy == near(expected.entropy)
            assert [other.logprob for other in token.top] == pytest.approx(expected.top(5), rel=0, abs=NEAR)
            for other in token.top:
                assert other.logprob == near(float(expected.row[other.id]))


def test_what_else_is_asked_for_changes_no_logprob(scorer: Scorer) -> None:
    texts = [Text(text) for text in models.passages(15, [3, 50, 300])]
    plain, full = (scorer.scores(texts, reading) for reading in (Reading(), Reading(rank=True, entropy=True, top=9)))
    for one, other in zip(plain, full, strict=True):
        # An accelerator multiplies fewer rows at a time where it needs all logits, by other kernels.
        rounding = 0.0 if one.model.device == "cpu" else 1e-5
        assert one.logprobs == pytest.approx(other.logprobs, rel=0, abs=rounding)


PARTS = st.sampled_from(
    ["The ", "the", " cat", "s", " sat on", ".", " ", "\n", "é", "日", " <s>", " statement of the "]
)
STRINGS = st.lists(PARTS, min_size=1, max_size=30).map("".join)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.builds(Text, STRINGS, st.none() | STRINGS), min_size=1, max_size=8), eos=st.booleans())
def test_any_forest_of_texts(scorer: Scorer, twin: Twin, texts: list[Text], eos: bool) -> None:
    agrees_each(scorer, twin, texts, Reading(eos=eos))


def test_in_float64_only_the_networks_own_float32_is_left(
    architecture: str, folder_of: Callable[[str], Path], twin: Twin
) -> None:
    scorer = open_scorer(str(folder_of(architecture)), dtype="float64")
    for text in models.passages(16, [1, 60, 500]):
        for token, expected in zip(scorer.score(text).tokens, twin.score(text), strict=True):
            # Norms and rotary positions are float32 in transformers whatever the model's dtype.
            assert token.logprob == pytest.approx(expected.logprob, rel=0, abs=1e-5)


def test_a_uniform_model_gives_minus_log_v_everywhere(tmp_path: Path) -> None:
    scorer = open_scorer(str(models.uniform(tmp_path)))
    for score in scorer.scores([Text("The cat sat"), Text("on the mat", "The cat sat "), Text("x" * 900)]):
        for token in score.tokens:
            assert token.logprob == pytest.approx(-6.46146817635372, abs=1e-6)  # -ln 640
        assert score.perplexity == pytest.approx(640, rel=1e-6)


def test_the_probabilities_at_a_place_sum_to_1(scorer: Scorer, twin: Twin) -> None:
    [expected, *_] = twin.score("The")
    assert expected.row is not None
    size = len(expected.row)
    for token in scorer.score("The cat sat on the mat", reading=Reading(top=size)).tokens:
        assert token.top is not None
        assert sorted(other.id for other in token.top) == list(range(size))
        assert sum(math.exp(other.logprob) for other in token.top) == pytest.approx(1, abs=1e-5)
        assert [other.logprob for other in token.top if other.id == token.id] == pytest.approx([token.logprob])
