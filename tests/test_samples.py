"""The files in sample_inputs: well-formed, and the stories that README tells with them hold on the default model."""

from collections.abc import Iterator

import pytest

from lmscore import Ranking, Text, open_scorer
from lmscore.files import groups_from_jsonl, groups_from_lines, texts_from_file, whole_text
from lmscore.scorer import Scorer

from .readme import ROOT

SAMPLES = ROOT / "sample_inputs"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return open_scorer()


@pytest.fixture(scope="module")
def groups() -> list[tuple[Text, ...]]:
    return list(groups_from_jsonl(str(SAMPLES / "groups.jsonl")))


def words(ranking: Ranking) -> Iterator[str]:
    return (candidate.score.text for candidate in ranking.candidates)


def test_every_sample_is_read_without_a_complaint(
    groups: list[tuple[Text, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    assert all(text.text for text in texts_from_file(str(SAMPLES / "lines.txt"), None))
    assert len(next(groups_from_lines(str(SAMPLES / "candidates.txt"), None))) == 6
    assert all(group[0].context for group in groups)  # so that --by pmi can be tried
    assert next(whole_text(str(SAMPLES / "story.txt"), None)).text.count("\n") > 4
    rows = [line.split("\t") for line in (SAMPLES / "pairs.tsv").read_text(encoding="utf-8").splitlines()]
    assert {len(row) for row in rows} == {3}
    assert not caplog.records


@pytest.mark.slow
def test_the_recogniser_is_right_by_sum_and_wrong_by_mean(scorer: Scorer) -> None:
    (candidates,) = groups_from_lines(str(SAMPLES / "candidates.txt"), None)
    ranking = scorer.rank(candidates)
    assert next(words(ranking)) == "It is hard to recognize speech."
    assert candidates[ranking.flips["mean"]].text == "It's hard to wreck a nice beach."


@pytest.mark.slow
def test_each_group_has_the_winner_one_would_expect(scorer: Scorer, groups: list[tuple[Text, ...]]) -> None:
    winners = [next(words(scorer.rank(group))) for group in groups]
    assert winners == [" are", " is", " 4", " water", " cat", "roses are red,\nviolets are blue."]
    assert next(words(scorer.rank(groups[3], by="pmi"))) == " a glass of water"


@pytest.mark.slow
def test_the_octopus_is_the_surprise_of_the_story(scorer: Scorer) -> None:
    (story,) = whole_text(str(SAMPLES / "story.txt"), None)
    weakest = scorer.score(story.text).weakest
    assert weakest is not None and weakest.token == " octopus"
