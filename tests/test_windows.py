"""Texts longer than the model's context: each token once, with enough before it, and the twin's number for it."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lmscore import Reading, Text, open_scorer
from lmscore.records import Score
from lmscore.scorer import Scorer

from . import models
from .twin import Expected, Twin

NEAR = 1e-4


def agree(score: Score, expected: list[Expected]) -> None:
    """The same tokens in order, so that each is scored once; the same numbers; the same least context."""
    assert [token.id for token in score.tokens] == [token.id for token in expected]
    got = [(token.logprob is None, token.logprob or 0.0) for token in score.tokens]
    for (missing, logprob), token in zip(got, expected, strict=True):
        assert missing == (token.logprob is None)
        assert logprob == pytest.approx(token.logprob or 0.0, rel=0, abs=NEAR)
    assert score.min_context == min((token.behind for token in expected if token.cut), default=None)


@pytest.mark.parametrize(
    "stride", [None, 200, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, models.WINDOW, 10_000))]
)
def test_every_token_has_the_number_of_its_own_window(
    architecture: str, scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin], stride: int | None
) -> None:
    [text, short] = models.passages(30, [1900, 30])
    reading = Reading(stride=stride)
    long, other = scorer_of(architecture).scores([Text(text), Text(short)], reading)
    agree(long, twin_of(architecture).score(text, stride=stride))
    agree(other, twin_of(architecture).score(short))
    assert long.windows > 2
    assert (other.windows, other.min_context) == (1, None)


@pytest.mark.parametrize("stride", [1, 7])
def test_a_small_stride(scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin], stride: int) -> None:
    [text] = models.passages(31, [720])
    score = scorer_of("gpt2").score(text, reading=Reading(stride=stride))
    expected = twin_of("gpt2").score(text, stride=stride)
    agree(score, expected)
    assert len(expected) > models.WINDOW
    assert score.windows == 1 - (models.WINDOW - len(expected)) // stride


@pytest.mark.parametrize("stride", [1, 50, None, 200, models.WINDOW])
def test_every_token_has_at_least_window_less_stride_before_it(
    scorer_of: Callable[[str], Scorer], stride: int | None
) -> None:
    [text] = models.passages(32, [1500])
    score = scorer_of("llama").score(text, reading=Reading(stride=stride))
    assert score.min_context is not None
    assert 1 + score.min_context >= models.WINDOW - (stride or models.WINDOW // 2)


@pytest.mark.parametrize("context_length", [500, 900])
def test_a_context_longer_than_a_window(
    architecture: str, scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin], context_length: int
) -> None:
    context, *texts = models.passages(33, [context_length, 3, 200, 900])
    for score in scorer_of(architecture).scores(Text(text, context) for text in texts):
        agree(score, twin_of(architecture).score(score.text, context))


@pytest.mark.parametrize("context_length", [100, 400, 440, 500, 900])
def test_what_comes_later_changes_no_token(scorer_of: Callable[[str], Scorer], context_length: int) -> None:
    """Whether a candidate ends within the window or goes on beyond it, its first tokens follow the same context."""
    context, short, more = models.passages(38, [context_length, 30, 900])
    one, other = scorer_of("llama").scores([Text(short, context), Text(short + more, context)])
    assert other.windows > 1
    count = len(one.tokens) - 1  # the last may be cut otherwise where more follows
    assert list(other.logprobs[:count]) == pytest.approx(list(one.logprobs[:count]), abs=NEAR)


def test_candidates_after_a_context_longer_than_a_window(
    architecture: str, scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin]
) -> None:
    context, *endings = models.passages(34, [900, *[4, 30, 500] * 4])
    for candidate in scorer_of(architecture).rank(endings, context).candidates:
        agree(candidate.score, twin_of(architecture).score(candidate.score.text, context))


def test_windows_without_a_start_symbol(architecture: str, folder_of: Callable[[str], Path]) -> None:
    [text] = models.passages(35, [1000])
    score = open_scorer(str(folder_of(architecture)), bos="none").score(text)
    agree(score, Twin(folder_of(architecture), None).score(text))
    assert score.num_unscored == 1


@pytest.mark.parametrize("extra", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in (-1, 2))])
def test_a_text_is_cut_only_where_the_model_cannot_read_it_at_once(
    architecture: str, scorer_of: Callable[[str], Scorer], twin_of: Callable[[str], Twin], extra: int
) -> None:
    # The model reads the start symbol and all tokens but the last, which is only predicted.
    [passage] = models.passages(36, [700])
    twin = twin_of(architecture)
    lengths = ((end, len(twin.tokens(passage[:end], None)[0])) for end in range(len(passage)))
    text = passage[: next(end for end, length in lengths if length == models.WINDOW + extra)]
    score = scorer_of(architecture).score(text)
    agree(score, twin.score(text))
    assert score.windows == (1 if extra <= 0 else 2)


def test_a_long_texts_tokens_are_made_each_time_they_are_looked_at(
    scorer_of: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the tokens of any other text, but for the memory they take."""
    [text] = models.passages(37, [1900])
    reading = Reading(eos=True, rank=True, top=2)
    for asked in (reading, Reading()):
        made = scorer_of("llama").score(text, "The context", asked)
        with monkeypatch.context() as patch:
            patch.setattr("lmscore.found.MOST_KEPT", 100)
            patch.setattr("lmscore.scorer.MOST_HELD_OF_ONE", 600)
            score = scorer_of("llama").score(text, "The context", asked)
            assert next(iter(made.tokens)) is not next(iter(made.tokens))
        assert next(iter(made.tokens)) is next(iter(made.tokens))
        copy = pickle.loads(pickle.dumps(made))
        assert isinstance(copy.tokens, tuple)  # and no model with it
        assert (made, hash(made), repr(made)) == (copy, hash(copy), repr(copy))
        assert made != replace(made, tokens=tuple(made.tokens[1:]))
        assert [replace(token, logprob=None, top=None) for token in score.tokens] == [
            replace(token, logprob=None, top=None) for token in made.tokens
        ]
        assert score.logprobs == pytest.approx(made.logprobs, abs=NEAR)
        assert (score.num_tokens, score.num_bytes, score.windows) == (made.num_tokens, made.num_bytes, made.windows)
        assert (score.tokens[-1].id, score.tokens[1:3][0].id) == (made.tokens[-1].id, made.tokens[1].id)
        assert score.weakest is not None and made.weakest is not None
        assert score.weakest.index == made.weakest.index
