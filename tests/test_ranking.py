"""Places, margins, shares, ties and flips: from scores made by hand, and through a scorer."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmscore import LmscoreError, Ranking, Reading, Text
from lmscore.ranking import rank, resolution
from lmscore.records import Measure, Score
from lmscore.scorer import Scorer

from . import models
from .scores import scored

ORDER = st.lists(st.floats(-5000, 0), min_size=1, max_size=30)


def ranked(scores: Sequence[Score], by: Measure = "sum", alone: Sequence[Score] | None = None) -> Ranking:
    return rank(scores, range(len(scores)), by, alone)


def of_totals(*totals: float) -> Ranking:
    return ranked([scored([total]) for total in totals])


def test_no_candidates_is_an_error() -> None:
    with pytest.raises(LmscoreError, match="no candidates"):
        ranked([])


def indices(ranking: Ranking) -> list[int]:
    return [candidate.index for candidate in ranking.candidates]


def places(ranking: Ranking) -> list[int]:
    return [candidate.place for candidate in ranking.candidates]


def test_the_greatest_total_wins() -> None:
    ranking = of_totals(-7.0, -3.0, -5.0)
    assert (ranking.winner, indices(ranking), places(ranking)) == (1, [1, 2, 0], [1, 2, 3])
    assert [candidate.margin for candidate in ranking.candidates] == [0, 2, 4]


@given(ORDER)
def test_every_candidate_stands_once_and_best_first(totals: list[float]) -> None:
    ranking = of_totals(*totals)
    assert sorted(indices(ranking)) == list(range(len(totals)))
    margins = [candidate.margin for candidate in ranking.candidates]
    assert all(margin is not None and margin >= 0 for margin in margins)
    for one, other in zip(ranking.candidates, ranking.candidates[1:], strict=False):
        assert one.place <= other.place
        if one.place < other.place:
            assert totals[one.index] > totals[other.index]
        else:
            assert one.tied and other.tied and one.index < other.index


@given(ORDER)
def test_shares_are_a_softmax_over_totals(totals: list[float]) -> None:
    ranking = of_totals(*totals)
    assert sum(candidate.share for candidate in ranking.candidates) == pytest.approx(1)
    best = max(totals)
    for candidate in ranking.candidates:
        expected = math.exp(totals[candidate.index] - best) / sum(math.exp(total - best) for total in totals)
        assert candidate.share == pytest.approx(expected)


def test_shares_of_totals_whose_exponentials_are_all_zero() -> None:
    assert math.exp(-5000) == 0
    shares = [candidate.share for candidate in of_totals(-5000.0, -5001.0).candidates]
    assert shares == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


def test_two_closer_than_the_resolution_are_tied_and_keep_the_input_order() -> None:
    near = resolution(scored([-10.0])) / 2
    ranking = of_totals(-12.0, -10.0 - near, -10.0)
    assert (ranking.winner, ranking.tied, indices(ranking), places(ranking)) == (None, True, [1, 2, 0], [1, 1, 3])
    assert [candidate.margin for candidate in ranking.candidates] == [0, 0, 2]
    assert [candidate.tied for candidate in ranking.candidates] == [True, True, False]


def test_two_further_apart_than_the_resolution_are_not_tied() -> None:
    ranking = of_totals(-10.0 - 3 * resolution(scored([-10.0])), -10.0)
    assert (ranking.winner, ranking.tied, places(ranking)) == (1, False, [1, 2])


@given(st.permutations(range(5)))
def test_of_a_chain_of_near_ones_those_tie_that_are_near_the_best_of_them(order: list[int]) -> None:
    step = resolution(scored([-10.0])) * 1.5  # two totals may be off by as much each
    ranking = of_totals(*(-10.0 - step * i for i in order))
    assert (places(ranking), ranking.winner) == ([1, 1, 3, 3, 5], None)
    assert indices(ranking)[:2] == sorted([order.index(0), order.index(1)])


def test_a_tie_across_candidates_that_are_surer_of_theirs_leaves_no_winner() -> None:
    """In bfloat16, per token: the mean of one token is far less sure than those of twenty, and may be the greatest."""
    model = replace(scored([-1.0]).model, dtype="bfloat16")
    sure, surer, unsure = (replace(scored(logprobs), model=model) for logprobs in ([-2.0] * 20, [-2.2] * 20, [-2.5]))
    assert ranked([sure, unsure], "mean").tied and not ranked([sure, surer], "mean").tied
    ranking = ranked([sure, surer, unsure], "mean")
    assert (ranking.winner, places(ranking), indices(ranking)) == (None, [1, 1, 3], [0, 2, 1])


def test_a_tie_below_the_first_place_leaves_the_winner() -> None:
    ranking = of_totals(-9.0, -5.0, -9.0)
    assert (ranking.winner, ranking.tied, places(ranking), indices(ranking)) == (1, False, [1, 2, 2], [1, 0, 2])


def test_an_only_candidate_wins_with_the_whole_share() -> None:
    [only] = of_totals(-4.0).candidates
    assert (only.place, only.margin, only.share, only.tied) == (1, 0, 1, False)


SHORT, LONG = scored([-4.0], "a" * 2), scored([-1.5] * 4, "b" * 12)


@pytest.mark.parametrize(("by", "winner"), [("sum", 0), ("mean", 1), ("byte", 1)])
def test_each_measure_has_its_own_winner_and_says_where_others_differ(by: Measure, winner: int) -> None:
    ranking = ranked([SHORT, LONG], by)
    assert ranking.winner == winner
    others: dict[str, dict[Measure, int]] = {"sum": {"mean": 1, "byte": 1}, "mean": {"sum": 0}, "byte": {"sum": 0}}
    assert ranking.flips == others[by]


def test_margins_are_in_the_measure_that_is_ranked_by() -> None:
    assert ranked([SHORT, LONG], "mean").candidates[1].margin == pytest.approx(4.0 - 1.5)
    assert ranked([SHORT, LONG], "byte").candidates[1].margin == pytest.approx(4 / 2 - 6 / 12)


def test_pmi_is_what_the_context_adds() -> None:
    after, alone = [scored([-4.0]), scored([-5.0])], [scored([-6.0]), scored([-9.0])]
    ranking = ranked(after, "pmi", alone)
    assert [(one.index, one.pmi) for one in ranking.candidates] == [(1, 4.0), (0, 2.0)]
    assert ranking.flips == {"sum": 0, "mean": 0, "byte": 0}


def test_pmi_ties_by_the_rounding_of_both_totals() -> None:
    alone = [scored([-300.0]), scored([-300.0])]
    far = 3 * resolution(scored([-10.0]))
    assert of_totals(-10.0, -10.0 - far).winner == 0
    assert ranked([scored([-10.0]), scored([-10.0 - far])], "pmi", alone).tied


def test_a_tie_by_another_measure_is_no_flip() -> None:
    twice = [scored([-3.0, -3.0], "b" * 2)] * 2
    assert ranked([scored([-4.0], "a"), *twice]).flips == {}
    assert ranked([scored([-4.0], "a"), twice[0]]).flips == {"mean": 1, "byte": 1}


def test_candidates_of_no_bytes_stand_last_by_byte_and_have_no_margin() -> None:
    ranking = ranked([scored([-1.0], ""), scored([-9.0])], "byte")
    assert (indices(ranking), ranking.candidates[1].margin) == ([1, 0], None)
    both = ranked([scored([-1.0], ""), scored([-2.0], "")], "byte")
    assert (both.tied, [candidate.margin for candidate in both.candidates]) == (True, [None, None])


def test_the_same_candidate_twice_is_a_tie_wherever_it_stands(scorer_of: Callable[[str], Scorer]) -> None:
    context, *endings = models.passages(40, [70, *[12, 35] * 10])
    crowd = endings * 2
    random.Random(40).shuffle(crowd)
    ranking = scorer_of("llama").rank(crowd, context)
    place_of: dict[str, set[int]] = {}
    for candidate in ranking.candidates:
        assert candidate.tied
        place_of.setdefault(candidate.score.text, set()).add(candidate.place)
    assert all(len(found) == 1 for found in place_of.values())
    assert ranking.winner is None


def test_a_ranking_holds_the_scores_that_scoring_gives(scorer_of: Callable[[str], Scorer]) -> None:
    scorer, (context, *endings) = scorer_of("qwen3"), models.passages(41, [50, 3, 10, 40])
    for candidate in scorer.rank(endings, context, "pmi", Reading(eos=True)).candidates:
        alone = scorer.score(endings[candidate.index], context, Reading(eos=True))
        bare = scorer.score(endings[candidate.index], reading=Reading(eos=True))
        assert candidate.score.total_logprob == pytest.approx(alone.total_logprob, abs=1e-4)
        assert alone.total_logprob is not None and bare.total_logprob is not None
        assert candidate.pmi == pytest.approx(alone.total_logprob - bare.total_logprob, abs=1e-3)


def test_texts_are_ranked_by_their_position_and_keep_their_context(scorer_of: Callable[[str], Scorer]) -> None:
    ranking = scorer_of("llama").rank([Text(" sat", "The cat"), Text(" ran", "The cat")])
    assert (sorted(indices(ranking)), ranking.context) == ([0, 1], "The cat")


def test_candidates_after_different_contexts_are_no_group(scorer_of: Callable[[str], Scorer]) -> None:
    with pytest.raises(LmscoreError, match="must follow one context"):
        scorer_of("llama").rank([Text(" sat", "The cat"), Text(" ran", "The dog")])


def test_groups_that_contradict_themselves(scorer_of: Callable[[str], Scorer]) -> None:
    llama = scorer_of("llama")
    with pytest.raises(ValueError, match="have indices of their own"):
        next(llama.rankings([[Text("a"), Text("b")]]))
    with pytest.raises(ValueError, match="by is one of sum, mean, byte, pmi, not 'luck'"):
        llama.rank(["a", "b"], by="luck")  # type: ignore[arg-type]


def test_pmi_needs_a_context_and_says_so(scorer_of: Callable[[str], Scorer]) -> None:
    with pytest.raises(LmscoreError, match=r"candidate 1: .* there is no context; give one"):
        scorer_of("llama").rank(["a", "b"], by="pmi")
