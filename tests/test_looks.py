"""What pictures are made of: scales even to the eye, and spans that hold whole characters."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmscore.records import Score, Token
from lmscore.views import scale
from lmscore.views.spans import spans

from .scores import MODEL, cut

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"


@pytest.mark.parametrize(
    "colors", [scale.shades(), scale.leanings()[: scale.LEANS + 1], scale.leanings()[scale.LEANS :]]
)
def test_a_scale_is_even_to_the_eye(colors: tuple[scale.Shade, ...]) -> None:
    steps = [math.dist(a.oklab, b.oklab) for a, b in pairwise(colors)]
    assert max(steps) < 1.2 * min(steps)


def test_surprisal_darkens_at_every_step() -> None:
    lightness = [shade.oklab[0] for shade in scale.shades()]
    assert all(a - b > 0.03 for a, b in pairwise(lightness))


@pytest.mark.parametrize("shade", [*scale.shades(), *scale.leanings()])
def test_ink_is_read_on_every_shade(shade: scale.Shade) -> None:
    assert shade.contrast(shade.ink) >= 4.5


def test_colours_are_those_that_others_compute() -> None:
    assert scale.Shade.of("#ffffff").contrast(scale.Shade.of("#000000")) == pytest.approx(21)
    assert scale.Shade.of("#ffffff").oklab == pytest.approx((1, 0, 0), abs=1e-6)
    assert scale.Shade.of("#ff0000").oklab == pytest.approx((0.627955, 0.224863, 0.125846), abs=1e-5)


@pytest.mark.parametrize(("bits", "step"), [(0, 0), (0.49, 0), (0.51, 1), (14.4, 14), (14.6, 15), (400, 15)])
def test_a_step_is_a_bit(bits: float, step: int) -> None:
    assert scale.step(-bits * math.log(2)) == step
    assert scale.step(1e-9) == 0  # rounding may give a logprob just above 0
    assert scale.lean(-bits * math.log(2)) == -min(step, scale.LEANS)


@given(st.text(), st.data())
def test_spans_join_to_the_text_and_hold_every_token_once(text: str, data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.integers(1, max(len(text.encode()) - 1, 1)))) - {len(text.encode())})
    score = cut(text, *places) if text else cut(text)
    found = list(spans(score))
    assert "".join(span.text for span in found) == text
    assert [token for span in found for token in span.tokens] == list(score.tokens)


def test_an_emoji_in_many_tokens_is_one_span() -> None:
    found = list(spans(cut(f"a{FAMILY}!", 1, 3, 5, 9, 12, 19)))
    assert [(span.text, len(span.tokens)) for span in found] == [("a", 1), (FAMILY, 5), ("!", 1)]
    assert found[1].logprob == -5.0 and found[1].seen == FAMILY


def test_what_hides_is_spelled_out_and_what_shows_is_not() -> None:
    (span,) = spans(cut("a \u202eb\x1b[1m\u200d"))
    assert span.seen == r"a \u202eb\x1b[1m\u200d"


def test_a_span_without_a_figure_has_none() -> None:
    (span,) = spans(cut("\N{MAN}", 2, logprob=None))
    assert span.logprob is None


def test_an_end_symbol_is_a_span_of_its_own() -> None:
    score = cut("ab")
    end = Token(1, 0, "</s>", b"", 2, 2, -1.0)
    found = list(spans(Score("ab", None, [*score.tokens, end], 1, None, MODEL)))
    assert [(span.text, span.seen) for span in found] == [("ab", "ab"), ("", "</s>")]
